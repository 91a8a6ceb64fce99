//! Check digits, from the documents that define them, so that the corpus owes nothing to the detectors it measures.

/// Digits as numbers.
pub fn values(text: &str) -> Vec<u32> {
    text.chars().filter_map(|sign| sign.to_digit(10)).collect()
}

fn digit(value: u32) -> char {
    char::from_digit(value % 10, 10).unwrap()
}

fn weighted(text: &str, weights: &[u32]) -> u32 {
    values(text).iter().zip(weights).map(|(value, weight)| value * weight).sum()
}

/// ISO/IEC 7812-1, annex B.
pub fn luhn(body: &str) -> char {
    let sum: u32 = values(body)
        .iter()
        .rev()
        .enumerate()
        .map(|(place, value)| if place % 2 == 0 { value * 2 / 10 + value * 2 % 10 } else { *value })
        .sum();
    digit(10 - sum % 10)
}

/// EAN-13: weights 1 and 3.
pub fn ean(body: &str) -> char {
    digit(10 - weighted(body, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]) % 10)
}

/// ISO 7064, MOD 97-10, as ISO 13616 has it: the two check digits of an account.
pub fn iban(country: &str, account: &str) -> String {
    let remainder = format!("{account}{country}00").chars().fold(0_u32, |rest, sign| {
        let value = sign.to_digit(36).unwrap();
        if value < 10 { (rest * 10 + value) % 97 } else { (rest * 100 + value) % 97 }
    });
    format!("{:02}", 98 - remainder)
}

/// ISO 7064, MOD 11,10, of the German tax id.
pub fn mod_11_10(body: &str) -> char {
    let product = values(body).iter().fold(10, |product, value| {
        let sum = (value + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    digit(11 - product)
}

/// The Dutch test of eleven over all nine digits, the last with weight -1. `None`: no digit fits.
pub fn eleven(body: &str) -> Option<char> {
    let rest = weighted(body, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    (rest < 10).then(|| digit(rest))
}

/// The Spanish letter: the number by 23.
pub fn dni(number: u32) -> char {
    char::from(b"TRWAGMYFPDXBNJZSQVHLCKE"[(number % 23) as usize])
}

/// The Italian letter (decree of 23 December 1976): odd places, counted from 1, have values of their own.
pub fn codice_fiscale(body: &str) -> char {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let sum: u32 = body
        .bytes()
        .enumerate()
        .map(|(place, sign)| {
            let value = u32::from(if sign.is_ascii_digit() { sign - b'0' } else { sign - b'A' });
            if place % 2 == 0 { ODD[value as usize] } else { value }
        })
        .sum();
    char::from(b'A' + (sum % 26) as u8)
}

/// The French key: 97 less the number by 97; the departments of Corsica count as 19 and 18.
pub fn nir(body: &str) -> String {
    let number: u64 = body.replace("2A", "19").replace("2B", "18").parse().unwrap();
    format!("{:02}", 97 - number % 97)
}

/// The Polish digit: weights 1, 3, 7, 9.
pub fn pesel(body: &str) -> char {
    digit(10 - weighted(body, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10)
}

/// The British digit, mod 11. `None`: no digit fits.
pub fn nhs(body: &str) -> Option<char> {
    match 11 - weighted(body, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11 {
        11 => Some('0'),
        10 => None,
        value => Some(digit(value)),
    }
}

/// The two Brazilian digits, mod 11.
pub fn cpf(body: &str) -> String {
    let one = |text: &str, from: u32| {
        let weights: Vec<u32> = (2..=from).rev().collect();
        let rest = weighted(text, &weights) % 11;
        digit(if rest < 2 { 0 } else { 11 - rest })
    };
    let first = one(body, 10);
    format!("{first}{}", one(&format!("{body}{first}"), 11))
}
