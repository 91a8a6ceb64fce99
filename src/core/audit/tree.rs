//! The tree over the rows' hashes (RFC 9162 section 2.1): its root stands for all of them, and short proofs show that a
//! row is among them, and that a later tree holds an earlier one. The data of leaf `n-1` is the chain's hash of row `n`.
//!
//! A tree whose first rows are gone still has all its roots: what is needed of them is a few nodes, the `Front`.

use crate::audit::chain::Hash;

/// The hash of the leaf with this data.
pub fn leaf(data: &[u8]) -> Hash {
    Hash::of(&[&[0], data])
}

/// The hash of the node above these two.
fn node(left: &Hash, right: &Hash) -> Hash {
    Hash::of(&[&[1], &left.0, &right.0])
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The nodes that stand for all leaves so far: one for each bit of their number, the largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Front {
    size: u64,
    nodes: Vec<Hash>,
}

impl Front {
    /// Of `size` leaves; `None` where these are not as many nodes as it takes.
    pub fn new(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        (u32::try_from(nodes.len()) == Ok(size.count_ones())).then_some(Self { size, nodes })
    }

    /// The number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The nodes, the largest first.
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Adds the leaf with this hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node_of = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node_of = node(&left, &node_of);
            }
        }
        self.nodes.push(node_of);
        self.size += 1;
    }

    /// The root of the tree; that of an empty one is the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev().copied();
        let last = nodes.next().unwrap_or_else(|| Hash::of(&[]));
        nodes.fold(last, |right, left| node(&left, &right))
    }

    /// The node over the leaves `start..end`, where it is one of these.
    fn over(&self, start: u64, end: u64) -> Option<Hash> {
        let mut at = 0;
        for (node, bit) in self.nodes.iter().zip((0..64).rev().filter(|bit| self.size >> bit & 1 == 1)) {
            let next = at + (1 << bit);
            if (at, next) == (start, end) {
                return Some(*node);
            }
            at = next;
        }
        None
    }
}

/// A tree that proofs can be made of: all leaves, or a front and all that follow.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    front: Front,
    leaves: Vec<Hash>,
}

impl Tree {
    /// A tree that begins with what `front` stands for.
    pub fn after(front: Front) -> Self {
        Self { front, leaves: Vec::new() }
    }

    /// Adds the leaf with this hash.
    pub fn push(&mut self, leaf: Hash) {
        self.leaves.push(leaf);
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.front.size + self.leaves.len() as u64
    }

    /// The root of the first `size` leaves; `None` where they are not all there.
    pub fn root(&self, size: u64) -> Option<Hash> {
        if size == 0 { Some(Hash::of(&[])) } else { self.over(0, size) }
    }

    /// The proof that leaf `index` is among the first `size` (RFC 9162 section 2.1.3.1).
    pub fn inclusion(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        if index >= size || size > self.size() {
            return None;
        }
        let (mut proof, mut start, mut end) = (Vec::new(), 0, size);
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                proof.push(self.over(middle, end)?);
                end = middle;
            } else {
                proof.push(self.over(start, middle)?);
                start = middle;
            }
        }
        proof.reverse();
        Some(proof)
    }

    /// The proof that the first `size` leaves begin with the first `earlier` (RFC 9162 section 2.1.4.1).
    pub fn consistency(&self, earlier: u64, size: u64) -> Option<Vec<Hash>> {
        if earlier == 0 || earlier > size || size > self.size() {
            return None;
        }
        let (mut proof, mut start, mut end, mut whole) = (Vec::new(), 0, size, true);
        while earlier != end {
            let middle = start + split(end - start);
            if earlier <= middle {
                proof.push(self.over(middle, end)?);
                end = middle;
            } else {
                proof.push(self.over(start, middle)?);
                (start, whole) = (middle, false);
            }
        }
        if !whole {
            proof.push(self.over(start, end)?);
        }
        proof.reverse();
        Some(proof)
    }

    /// The node over the leaves `start..end`.
    fn over(&self, start: u64, end: u64) -> Option<Hash> {
        if let Some(node) = self.front.over(start, end) {
            return Some(node);
        }
        if end - start == 1 {
            return self.leaves.get(usize::try_from(start.checked_sub(self.front.size)?).ok()?).copied();
        }
        let middle = start + split(end - start);
        Some(node(&self.over(start, middle)?, &self.over(middle, end)?))
    }
}

/// Whether `proof` shows that `leaf` is leaf `index` of the tree of `size` leaves with this root (RFC 9162 section
/// 2.1.3.2).
pub fn includes(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node(&hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `size` leaves begins with that of `earlier` leaves (RFC 9162 section 2.1.4.2).
pub fn continues(earlier: (u64, &Hash), later: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((first, first_root), (second, second_root)) = (earlier, later);
    if first == second {
        return proof.is_empty() && first_root == second_root;
    }
    if first == 0 || first > second {
        return false;
    }
    let mut path = proof.iter();
    let Some(begin) = (if first.is_power_of_two() { Some(first_root) } else { path.next() }) else { return false };
    let shift = (first - 1).trailing_ones();
    let (mut at, mut last) = ((first - 1) >> shift, (second - 1) >> shift);
    let (mut old, mut new) = (*begin, *begin);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (old, new) = (node(sibling, &old), node(sibling, &new));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new = node(&new, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old == *first_root && new == *second_root
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leaves and roots that implementations of Certificate Transparency share as their test vectors.
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn numbered(count: u64) -> Tree {
        let mut tree = Tree::default();
        (0..count).for_each(|number| tree.push(leaf(&number.to_be_bytes())));
        tree
    }

    #[test]
    fn the_known_leaves_have_the_known_roots() {
        let (mut front, mut tree) = (Front::default(), Tree::default());
        assert_eq!(front.root().to_string(), ROOTS[0]);
        for (data, root) in LEAVES.iter().zip(&ROOTS[1..]) {
            let leaf = leaf(&bytes(data));
            front.push(leaf);
            tree.push(leaf);
            assert_eq!((front.root().to_string(), tree.root(tree.size())), ((*root).to_owned(), Some(front.root())));
        }
    }

    #[test]
    fn the_known_proofs_are_made() {
        let mut tree = Tree::default();
        LEAVES.iter().for_each(|data| tree.push(leaf(&bytes(data))));
        let hex = |proof: Option<Vec<Hash>>| -> Vec<String> { proof.unwrap().iter().map(Hash::to_string).collect() };
        assert_eq!(
            hex(tree.inclusion(0, 8)),
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]
        );
        assert_eq!(
            hex(tree.consistency(6, 8)),
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
    }

    #[test]
    fn every_proof_holds_for_what_it_shows_and_for_nothing_else() {
        let tree = numbered(33);
        for size in 1..=33 {
            let root = tree.root(size).unwrap();
            for index in 0..size {
                let (leaf, proof) = (leaf(&index.to_be_bytes()), tree.inclusion(index, size).unwrap());
                assert!(includes(&leaf, index, size, &proof, &root), "{index} of {size}");
                assert!(!includes(&Hash::ZERO, index, size, &proof, &root));
                assert!(!includes(&leaf, index + 1, size, &proof, &root), "{index} of {size}");
                assert!(!includes(&leaf, index, size, &proof, &Hash::ZERO));
                let longer = [proof.as_slice(), &[root]].concat();
                assert!(!includes(&leaf, index, size, &longer, &root));
            }
            for earlier in 1..=size {
                let (old, proof) = (tree.root(earlier).unwrap(), tree.consistency(earlier, size).unwrap());
                assert!(continues((earlier, &old), (size, &root), &proof), "{earlier} of {size}");
                assert!(!continues((earlier, &Hash::ZERO), (size, &root), &proof));
                assert!(!continues((earlier, &old), (size, &Hash::ZERO), &proof));
            }
        }
        assert_eq!((tree.inclusion(33, 33), tree.inclusion(0, 34), tree.consistency(0, 3)), (None, None, None));
        assert_eq!((tree.consistency(4, 3), tree.root(34)), (None, None));
    }

    #[test]
    fn a_tree_without_its_first_leaves_proves_the_rest_alike() {
        let whole = numbered(50);
        for gone in 0..50 {
            let mut front = Front::default();
            (0..gone).for_each(|number: u64| front.push(leaf(&number.to_be_bytes())));
            let kept = Front::new(gone, front.nodes().to_vec()).unwrap();
            let mut tree = Tree::after(kept);
            (gone..50).for_each(|number| tree.push(leaf(&number.to_be_bytes())));
            for size in gone.max(1)..=50 {
                assert_eq!(tree.root(size), whole.root(size), "{gone} gone, of {size}");
                for index in gone..size {
                    assert_eq!(tree.inclusion(index, size), whole.inclusion(index, size), "{index}, {gone} gone");
                }
                if gone > 0 {
                    assert_eq!(tree.consistency(gone, size), whole.consistency(gone, size));
                }
            }
            if gone > 1 {
                assert_eq!(tree.inclusion(0, 50), None, "what is gone can't be proven");
            }
        }
        assert_eq!(Front::new(3, vec![Hash::ZERO]), None);
    }
}
