//! Secrets with bodies that nobody was ever given: each says EXAMPLE, or is drawn from a seed that is in this repository.
//! The files spell the first sign of each as an escape, so that nothing that looks for leaks in repositories takes them
//! for one.

use super::carriers::Names;
use super::corpus::{Kind, Made, alone, confusing};
use super::random::Random;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

pub const KIND: Kind = Kind { name: "secret", names: SECRET, value: secret, near: no_secret };

const SECRET: Names = Names {
    keys: &["token", "api_key", "apiKey", "credential", "SECRET_KEY"],
    labels: &["Token", "API key", "Secret"],
    said: &[
        "The key is {}.",
        "export TOKEN={}",
        "use {} for now",
        "token: {}",
        "`{}` was committed by mistake",
        "X-Api-Key: {}",
    ],
};

/// A token's first signs, its alphabet and how long the rest is.
const TOKENS: [(&str, &str, usize); 21] = [
    ("AKIA", UPPER, 16),
    ("ASIA", UPPER, 16),
    ("ghp_", BOTH, 36),
    ("gho_", BOTH, 36),
    ("ghu_", BOTH, 36),
    ("ghs_", BOTH, 36),
    ("ghr_", BOTH, 36),
    ("github_pat_", WORD, 82),
    ("glpat-", WORD, 20),
    ("xoxb-", BOTH, 40),
    ("xoxp-", BOTH, 60),
    ("xapp-", BOTH, 50),
    ("sk_live_", BOTH, 24),
    ("rk_live_", BOTH, 24),
    ("AIza", WORD, 35),
    ("npm_", BOTH, 36),
    ("pypi-AgEIcHlwaS5vcmc", WORD, 140),
    ("sk-", BOTH, 48),
    ("sk-proj-", WORD, 60),
    ("sk-ant-api03-", WORD, 90),
    ("sk-svcacct-", WORD, 60),
];

const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BOTH: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const WORD: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz_";

fn token(random: &mut Random) -> String {
    let (prefix, signs, length) = TOKENS[random.below(TOKENS.len())];
    let mark = if length >= 20 { "EXAMPLE0" } else { "EXAMPLE" };
    format!("{prefix}{}{mark}", random.signs(signs, length - mark.len()))
}

fn jwt(random: &mut Random) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let alg = random.pick(&["HS256", "RS256", "ES256"]);
    let header = match random.below(3) {
        0 => format!("{{\"typ\":\"JWT\",\"alg\":\"{alg}\"}}"),
        1 => format!("{{\"alg\":\"{alg}\",\"kid\":\"{}\"}}", random.hex(6)),
        _ => format!("{{\"alg\":\"{alg}\",\"typ\":\"JWT\"}}"),
    };
    let payload =
        format!("{{\"sub\":\"example{}\",\"exp\":{}}}", random.below(900), 1_700_000_000 + random.below(9_000_000));
    format!("{}.{}.{}", part(&header), part(&payload), random.token(43))
}

fn pem(random: &mut Random) -> String {
    let kind = random.pick(&[
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
    ]);
    let lines: Vec<String> =
        (0..random.between(1, 3)).map(|_| STANDARD.encode(format!("EXAMPLE{}", random.token(20)))).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----", lines.join("\n"))
}

/// Texts that hold a secret in a way of their own, with the marks set.
fn within(random: &mut Random) -> String {
    let word = random.token(12);
    let long = random.token(24) + "1";
    match random.below(13) {
        0 => format!("postgres://app:‹{word}›@db.example.com/prod"),
        1 => format!("clone https://bot:‹{word}!›@git.example.com/x.git"),
        2 => format!("redis://:‹{word}›@cache:6379/0"),
        3 => format!("Authorization: Bearer ‹{long}›"),
        4 => format!("curl -H 'authorization: Bearer ‹{}›' https://api.example.com", jwt(random)),
        5 => format!("Authorization: Basic ‹{}›", STANDARD.encode(format!("example:{word}"))),
        6 => format!("> Authorization: Token ‹{long}›\n< 200"),
        7 => format!("Proxy-Authorization: Basic ‹{}›\nHost: x", STANDARD.encode(format!("u:{word}"))),
        8 => format!("{{\"headers\":{{\"Authorization\":\"Bearer ‹{long}›\",\"Accept\":\"*/*\"}}}}"),
        9 => format!(
            "https://acct.blob.example.net/c/b?sv=2022-11-02&se=2026-01-01&sr=b&sp=r&sig=‹{}%3D›",
            random.token(43)
        ),
        10 => format!("SharedAccessSignature sr=x&sig=‹{}%3D›&se=1800000000", random.token(43)),
        11 => format!("aws_secret_access_key = ‹{}EXAMPLEKEY›", random.token(30)),
        _ => format!("{{\"SecretAccessKey\": \"‹{}EXAMPLEKEY›\"}}", random.token(30)),
    }
}

fn secret(random: &mut Random) -> Made {
    match random.below(10) {
        0..5 => alone(token(random)),
        5 => alone(jwt(random)),
        6 => alone(pem(random)),
        _ => Made { whole: true, ..alone(within(random)) },
    }
}

fn no_secret(random: &mut Random) -> Made {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let word = random.signs("abcdefghij", 6);
    match random.below(20) {
        0 => alone(format!("AKIA{}", random.signs(UPPER, 11))),
        1 => alone(format!("X{}{}", "AKIA", random.signs(UPPER, 16))),
        2 => alone(format!("ghp_{word}")),
        3 => alone(format!("sk-{word}-learn-something-with-a-long-name")),
        4 => alone(format!("task-{}", random.signs("abcdefghijklmnop", 32))),
        5 => alone(format!("npm_config_{word}")),
        6 => alone(format!("pypi-{word}")),
        7 => alone(format!("xoxb-{}", &word[..3])),
        8 => alone(format!("{}.abc.def", part("{\"noalg\":1}"))),
        9 => alone(part("{\"alg\":\"HS256\"}")),
        10 => alone("-----BEGIN CERTIFICATE-----\nMIIBEXAMPLE\n-----END CERTIFICATE-----".to_owned()),
        11 => alone("-----BEGIN PUBLIC KEY-----\nMIIBEXAMPLE\n-----END PUBLIC KEY-----".to_owned()),
        12 => alone(format!("the bearer of {word} news")),
        13 => alone(format!("Basic {word} of the system")),
        14 => alone(format!("https://{word}@example.com/")),
        15 => alone(format!("https://example.com:8443/{word}@{word}")),
        16 => alone(format!("sig={word}")),
        17 => alone(format!("Authorization is {word} by default")),
        18 => alone(STANDARD.encode(random.token(30))),
        _ => confusing(random),
    }
}
