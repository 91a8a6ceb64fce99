"""Checks what `portcullis audit prove EVENT` printed, with nothing of Portcullis: python3 check_proof.py PROOF KEY.pem

PROOF is the JSON, KEY.pem the public key of the journal's checkpoints. Needs openssl 3 for the signature alone.
"""
import base64, hashlib, json, subprocess, sys, tempfile


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


proof = json.load(open(sys.argv[1]))
text, _, signatures = proof["checkpoint"].partition("\n\n")
text += "\n"
origin, size, root = text.split("\n")[:3]
size, root = int(size), base64.b64decode(root)

# The signature: four bytes that name the key, then Ed25519 over the text.
signature = base64.b64decode(signatures.split()[-1])[4:]
with tempfile.NamedTemporaryFile() as message, tempfile.NamedTemporaryFile() as signed:
    message.write(text.encode()), message.flush(), signed.write(signature), signed.flush()
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", sys.argv[2], "-rawin", "-in", message.name]
    ok = subprocess.run(command + ["-sigfile", signed.name], capture_output=True).returncode == 0
if not ok:
    sys.exit("the checkpoint is not signed with this key")

# The row is bound to the one before it, and is a leaf of the tree (RFC 9162 section 2.1.3.2).
at, last = proof["index"], size - 1
node = sha256(b"\0", sha256(bytes.fromhex(proof["previous"]), proof["row"].encode()))
for sibling in map(bytes.fromhex, proof["proof"]):
    if last == 0:
        sys.exit("the proof is too long")
    if at & 1 or at == last:
        node = sha256(b"\1", sibling, node)
        while at and not at & 1:
            at, last = at >> 1, last >> 1
    else:
        node = sha256(b"\1", node, sibling)
    at, last = at >> 1, last >> 1
if at > last or last != 0 or node != root:
    sys.exit("the row is not in the journal that was signed")
row = json.loads(proof["row"])
if row[0] != proof["index"] + 1 or row[2] != origin:
    sys.exit("the row is of another place or journal")
print(f"ok: row {row[0]} of journal {origin} is among the {size} that were signed:", proof["row"])
