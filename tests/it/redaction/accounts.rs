//! Payment cards and bank accounts.

use super::carriers::Names;
use super::checks;
use super::corpus::{Kind, Made, alone, beside, confusing, wrong_last};
use super::random::Random;

pub const KINDS: [Kind; 2] = [
    Kind { name: "card", names: CARD, value: card, near: no_card },
    Kind { name: "iban", names: IBAN, value: iban, near: no_iban },
];

const CARD: Names = Names {
    keys: &["card", "card_number", "pan", "creditCard", "cc"],
    labels: &["Card", "Card number", "Kartennummer", "Visa"],
    said: &[
        "Paid with {} today.",
        "card {}, valid until 12/29",
        "my Visa is {}",
        "charge {}exp12/29 please",
        "({}CVV123)",
        "Visa{} was declined",
        "pan={};exp=1229",
    ],
};

/// First digits and how many there are in all.
const BRANDS: [(&str, usize); 18] = [
    ("4", 16),
    ("4", 16),
    ("4", 16),
    ("4", 13),
    ("4", 19),
    ("51", 16),
    ("53", 16),
    ("55", 16),
    ("2221", 16),
    ("2650", 16),
    ("34", 15),
    ("37", 15),
    ("6011", 16),
    ("65", 16),
    ("36", 14),
    ("3530", 16),
    ("62", 16),
    ("6759", 16),
];

fn pan(random: &mut Random) -> String {
    let (prefix, length) = BRANDS[random.below(BRANDS.len())];
    let body = format!("{prefix}{}", random.digits(length - 1 - prefix.len()));
    format!("{body}{}", checks::luhn(&body))
}

fn groups(whole: &str) -> Vec<&str> {
    let lengths: &[usize] = match whole.len() {
        15 => &[4, 6, 5],
        14 => &[4, 6, 4],
        13 => &[4, 4, 4, 1],
        19 => &[4, 4, 4, 4, 3],
        _ => &[4, 4, 4, 4],
    };
    let mut rest = whole;
    let mut found = Vec::new();
    for length in lengths {
        let (group, after) = rest.split_at(*length);
        found.push(group);
        rest = after;
    }
    found
}

fn card(random: &mut Random) -> Made {
    let whole = pan(random);
    let parts = groups(&whole);
    // Half of Europe's products have thirteen digits that begin with a 4: without its name nobody can tell.
    if whole.len() == 13 && random.once_in(2) {
        return beside(whole);
    }
    alone(match random.below(12) {
        0..4 if whole.len() != 13 => whole.clone(),
        4..7 => parts.join(" "),
        7..9 => parts.join("-"),
        9 => parts.join("."),
        10 => parts.join("\n"),
        _ => format!("{}\n{}", parts[..2].join(" "), parts[2..].join(" ")),
    })
}

fn no_card(random: &mut Random) -> Made {
    let right = pan(random);
    match random.below(12) {
        0 | 1 => beside(wrong_last(random, &right)),
        2 => beside(groups(&wrong_last(random, &right)).join(" ")),
        3 => {
            let body = format!("{}{}", random.pick(&["1", "7", "8", "9", "0"]), random.digits(14));
            alone(format!("{body}{}", checks::luhn(&body)))
        }
        4 => alone(random.number(12)),
        5 => alone(format!("{right}{}", random.digits(20 - right.len().min(18)))),
        6 => {
            let body = format!("35{}", random.digits(12));
            alone(format!("{body}{}", checks::luhn(&body)))
        }
        7 => alone(format!("0.{right}")),
        8 => alone(format!("17{}", random.digits(11))),
        9 => alone(format!("{}{}", random.signs("abcdef", 1), random.hex(39))),
        10 => alone(format!("{}-{}-{}", random.digits(4), random.digits(4), random.digits(4))),
        _ => confusing(random),
    }
}

const IBAN: Names = Names {
    keys: &["iban", "account", "bank_account", "creditorIban", "konto"],
    labels: &["IBAN", "Account", "Konto", "Compte"],
    said: &[
        "Please pay to {}.",
        "IBAN {}",
        "Konto {} bei der Bank",
        "(IBAN: {}, BIC follows)",
        "refund goes to {} by Friday",
    ],
};

/// Countries and their accounts behind the check digits: `n` digits, `a` capitals, `c` both.
const COUNTRIES: [(&str, &str); 30] = [
    ("AT", "n16"),
    ("BE", "n12"),
    ("CH", "n5c12"),
    ("CZ", "n20"),
    ("DE", "n18"),
    ("DK", "n14"),
    ("ES", "n20"),
    ("FI", "n14"),
    ("FR", "n10c11n2"),
    ("GB", "a4n14"),
    ("GR", "n7c16"),
    ("HU", "n24"),
    ("IE", "a4n14"),
    ("IT", "a1n10c12"),
    ("LI", "n5c12"),
    ("LU", "n3c13"),
    ("NL", "a4n10"),
    ("NO", "n11"),
    ("PL", "n24"),
    ("PT", "n21"),
    ("SE", "n20"),
    ("RO", "a4c16"),
    ("BR", "n23a1c1"),
    ("SA", "n2c18"),
    ("AE", "n19"),
    ("TR", "n6c16"),
    ("MT", "a4n5c18"),
    ("EE", "n16"),
    ("SK", "n20"),
    ("HR", "n17"),
];

fn account(random: &mut Random, structure: &str) -> String {
    let mut made = String::new();
    for part in structure.split_inclusive(['n', 'a', 'c']).collect::<Vec<_>>().windows(2) {
        // `n`, `10c`, `11n`, `2`: a part ends with the class of the next one.
        let class = part[0].chars().last().unwrap();
        let count = part[1].trim_end_matches(char::is_alphabetic).parse().unwrap();
        made.push_str(&random.signs(class_signs(class), count));
    }
    made
}

fn class_signs(class: char) -> &'static str {
    match class {
        'n' => "0123456789",
        'a' => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        _ => "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    }
}

fn whole_iban(random: &mut Random) -> String {
    let (country, structure) = COUNTRIES[random.below(COUNTRIES.len())];
    let account = account(random, structure);
    format!("{country}{}{account}", checks::iban(country, &account))
}

fn fours(whole: &str, sign: &str) -> String {
    let signs: Vec<char> = whole.chars().collect();
    signs.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(sign)
}

fn iban(random: &mut Random) -> Made {
    let whole = whole_iban(random);
    alone(match random.below(10) {
        0..4 => whole,
        4 => whole.to_lowercase(),
        5 => fours(&whole, "-"),
        6 => fours(&whole, " ").replacen(' ', "\n", random.below(2)),
        _ => fours(&whole, " "),
    })
}

fn no_iban(random: &mut Random) -> Made {
    let right = whole_iban(random);
    let off = (right[2..4].parse::<usize>().unwrap() + random.between(1, 90)) % 97 + 2;
    let off = if format!("{off:02}") == right[2..4] { 99 } else { off };
    match random.below(9) {
        0 => beside(format!("{}{off:02}{}", &right[..2], &right[4..])),
        1 => beside(fours(&format!("{}{off:02}{}", &right[..2], &right[4..]), " ")),
        2 => beside(right[..right.len() - 1].to_owned()),
        3 => beside(format!("{right}{}", random.digits(2))),
        4 => beside(format!("XX{}", &right[2..])),
        5 => alone(format!("DE{}", random.digits(9))),
        6 => alone(format!("CHE-{}.{}.{}", random.digits(3), random.digits(3), random.digits(3))),
        7 => alone(format!("{}{}", random.signs("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 2), random.digits(20))),
        _ => confusing(random),
    }
}
