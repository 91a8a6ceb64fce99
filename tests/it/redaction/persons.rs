//! Numbers that states give to people, made from their own documents: lengths, digits that mean something, check digits,
//! and the ways in which they are written.

use super::carriers::Names;
use super::checks;
use super::corpus::{Kind, Made, alone, beside, confusing, wrong_last};
use super::random::Random;

const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

pub const KINDS: [Kind; 10] = [
    Kind { name: "ssn", names: SSN, value: ssn, near: no_ssn },
    Kind { name: "ahv", names: AHV, value: ahv, near: no_ahv },
    Kind { name: "steuer_id", names: STEUER_ID, value: steuer_id, near: no_steuer_id },
    Kind { name: "bsn", names: BSN, value: bsn, near: no_bsn },
    Kind { name: "dni", names: DNI, value: dni, near: no_dni },
    Kind { name: "codice_fiscale", names: CODICE_FISCALE, value: codice_fiscale, near: no_codice_fiscale },
    Kind { name: "nir", names: NIR, value: nir, near: no_nir },
    Kind { name: "pesel", names: PESEL, value: pesel, near: no_pesel },
    Kind { name: "nhs", names: NHS, value: nhs, near: no_nhs },
    Kind { name: "cpf", names: CPF, value: cpf, near: no_cpf },
];

const SSN: Names = Names {
    keys: &["ssn", "SSN", "social_security_number", "socialSecurityNumber", "applicant_ssn"],
    labels: &["SSN", "Social Security Number", "Social Security No."],
    said: &["My SSN is {}.", "SSN {} was rejected", "Her social security number is {}, I think.", "ssn: {}"],
};

fn ssn_parts(random: &mut Random) -> [String; 3] {
    let area = loop {
        let area = random.between(1, 899);
        if area != 666 {
            break area;
        }
    };
    [format!("{area:03}"), format!("{:02}", random.between(1, 99)), format!("{:04}", random.between(1, 9999))]
}

fn ssn(random: &mut Random) -> Made {
    let parts = ssn_parts(random);
    match random.below(8) {
        0 => beside(parts.concat()),
        1 => beside(parts.join(" ")),
        2 => beside(parts.join(".")),
        _ => alone(parts.join("-")),
    }
}

fn no_ssn(random: &mut Random) -> Made {
    let [area, group, serial] = ssn_parts(random);
    match random.below(9) {
        0 => beside(format!("{}-{group}-{serial}", random.pick(&["000", "666", "900", "987"]))),
        1 => beside(format!("{area}-00-{serial}")),
        2 => beside(format!("{area}-{group}-0000")),
        3 => alone(format!("{}-{}", random.digits(2), random.digits(7))),
        4 => alone(format!("{area}{group}{serial}")),
        5 => beside(format!("***-**-{serial}")),
        6 => alone(format!("{area}-{group}-{serial}{}", random.digits(2))),
        _ => confusing(random),
    }
}

const AHV: Names = Names {
    keys: &["ahv", "ahv_number", "avs", "ahvNr", "sozialversicherungsnummer"],
    labels: &["AHV-Nr.", "N° AVS", "Sozialversicherungsnummer"],
    said: &["Die AHV-Nummer ist {}.", "AHV {} fehlt im Dossier", "mon numéro AVS: {}", "AVS {}"],
};

fn ahv(random: &mut Random) -> Made {
    let body = format!("756{}", random.digits(9));
    let whole = format!("{body}{}", checks::ean(&body));
    let dotted = |sign| format!("{}{sign}{}{sign}{}{sign}{}", &whole[..3], &whole[3..7], &whole[7..11], &whole[11..]);
    alone(match random.below(6) {
        0 => whole.clone(),
        1 => dotted(" "),
        2 => dotted("-"),
        _ => dotted("."),
    })
}

fn no_ahv(random: &mut Random) -> Made {
    let right = ahv(random).text;
    match random.below(6) {
        0 | 1 => beside(wrong_last(random, &right)),
        2 => alone(random.pick(&["757.", "755.", "765."]).to_owned() + right.get(4..).unwrap()),
        3 => alone(format!("{right}{}", random.digits(1))),
        4 => alone(format!("978{}", random.digits(10))),
        _ => confusing(random),
    }
}

const STEUER_ID: Names = Names {
    keys: &["steuer_id", "steuerId", "tax_id", "idnr", "steueridentifikationsnummer"],
    labels: &["Steuer-ID", "Steueridentifikationsnummer", "Tax ID", "IdNr."],
    said: &[
        "Meine Steuer-ID lautet {}.",
        "Tax ID {} is on the form",
        "Steuerliche Identifikationsnummer: {}",
        "IdNr. {}",
    ],
};

/// Section 139b AO: of the first ten digits one occurs twice or three times, the others once at most; no 0 in front.
fn steuer_digits(random: &mut Random) -> String {
    loop {
        let mut pool: Vec<char> = "0123456789".chars().collect();
        let mut body = Vec::new();
        let twice = pool.remove(random.below(10));
        let times = random.between(2, 3);
        body.extend(std::iter::repeat_n(twice, times));
        while body.len() < 10 {
            body.push(pool.remove(random.below(pool.len())));
        }
        for place in (1..10).rev() {
            body.swap(place, random.below(place + 1));
        }
        let body: String = body.into_iter().collect();
        if !body.starts_with('0') && !body.contains(&twice.to_string().repeat(3)) {
            return body;
        }
    }
}

fn grouped(digits: &str, lengths: &[usize], sign: &str) -> String {
    let mut rest = digits;
    let mut groups = Vec::new();
    for length in lengths {
        let (group, after) = rest.split_at(*length);
        groups.push(group);
        rest = after;
    }
    groups.join(sign)
}

fn steuer_id(random: &mut Random) -> Made {
    let body = steuer_digits(random);
    let whole = format!("{body}{}", checks::mod_11_10(&body));
    match random.below(3) {
        0 => alone(grouped(&whole, &[2, 3, 3, 3], " ")),
        _ => beside(whole),
    }
}

fn no_steuer_id(random: &mut Random) -> Made {
    let right = steuer_id(random).text.replace(' ', "");
    match random.below(6) {
        0 | 1 => beside(wrong_last(random, &right)),
        2 => alone(right),
        3 => beside(format!("0{}", &right[1..])),
        4 => alone(grouped(&random.number(11), &[3, 3, 3, 2], " ")),
        _ => confusing(random),
    }
}

const BSN: Names = Names {
    keys: &["bsn", "BSN", "burgerservicenummer", "bsn_nummer", "sofinummer"],
    labels: &["BSN", "Burgerservicenummer", "BSN-nummer"],
    said: &["Mijn BSN is {}.", "BSN {} staat op de kaart", "burgerservicenummer: {}", "the BSN of the patient is {}"],
};

fn bsn_digits(random: &mut Random) -> String {
    loop {
        let body = random.number(8);
        if let Some(last) = checks::eleven(&body) {
            return format!("{body}{last}");
        }
    }
}

fn bsn(random: &mut Random) -> Made {
    let whole = bsn_digits(random);
    beside(match random.below(6) {
        0 => grouped(&whole, &[3, 3, 3], "."),
        1 => grouped(&whole, &[4, 2, 3], "."),
        2 => grouped(&whole, &[3, 3, 3], " "),
        _ => whole,
    })
}

fn no_bsn(random: &mut Random) -> Made {
    let right = bsn_digits(random);
    match random.below(5) {
        0 | 1 => beside(wrong_last(random, &right)),
        2 => alone(right),
        3 => beside(format!("{right}{}", random.digits(2))),
        _ => confusing(random),
    }
}

const DNI: Names = Names {
    keys: &["dni", "nie", "documento", "dni_nie", "nif"],
    labels: &["DNI", "NIE", "DNI/NIE", "NIF"],
    said: &["Mi DNI es {}.", "con DNI {} y domicilio en Madrid", "NIE: {}", "DNI nº {}"],
};

fn dni(random: &mut Random) -> Made {
    if random.once_in(3) {
        let (lead, rest) = (random.below(3), random.digits(7));
        let letter = checks::dni(format!("{lead}{rest}").parse().unwrap());
        let lead = ["X", "Y", "Z"][lead];
        return alone(match random.below(3) {
            0 => format!("{lead}-{rest}-{letter}"),
            _ => format!("{lead}{rest}{letter}"),
        });
    }
    let body = random.digits(8);
    let letter = checks::dni(body.parse().unwrap());
    match random.below(7) {
        0 => alone(format!("{body}-{letter}")),
        1 => alone(format!("{}-{letter}", grouped(&body, &[2, 3, 3], "."))),
        2 => beside(format!("{body} {letter}")),
        3 => beside(format!("{body}{letter}").to_lowercase()),
        _ => alone(format!("{body}{letter}")),
    }
}

fn no_dni(random: &mut Random) -> Made {
    let body = random.digits(8);
    let letter = checks::dni(body.parse().unwrap());
    let other = loop {
        let other = random.signs("TRWAGMYFPDXBNJZSQVHLCKE", 1);
        if !other.starts_with(letter) {
            break other;
        }
    };
    match random.below(6) {
        0 | 1 => beside(format!("{body}{other}")),
        2 => alone(format!("{body}{}", random.signs("IOU", 1))),
        3 => beside(format!("X{}{other}", &random.digits(7)[..6])),
        4 => alone(format!("{}{body}{letter}", random.signs("ABC", 2))),
        _ => confusing(random),
    }
}

const CODICE_FISCALE: Names = Names {
    keys: &["codice_fiscale", "codiceFiscale", "cf", "fiscal_code"],
    labels: &["Codice fiscale", "C.F.", "Cod. Fisc."],
    said: &["Il mio codice fiscale è {}.", "C.F. {}", "nato a Roma, codice fiscale {}, residente", "cod. fisc. {}"],
};

fn fiscal(random: &mut Random) -> String {
    let consonants = "BCDFGLMNPRSTVZ";
    let day = random.between(1, 31) + if random.once_in(2) { 40 } else { 0 };
    let mut body = format!(
        "{}{}{}{day:02}{}{}",
        random.signs(consonants, 6),
        random.digits(2),
        random.signs("ABCDEHLMPRST", 1),
        random.signs("ABCDEFGHILM", 1),
        random.digits(3)
    );
    // Two people of one code: digits from the right become letters (omocodia).
    if random.once_in(8) {
        let last = body.pop().and_then(|sign| sign.to_digit(10)).unwrap();
        body.push(char::from(b"LMNPQRSTUV"[last as usize]));
    }
    format!("{body}{}", checks::codice_fiscale(&body))
}

fn codice_fiscale(random: &mut Random) -> Made {
    let whole = fiscal(random);
    alone(match random.below(6) {
        0 => whole.to_lowercase(),
        1 => grouped(&whole, &[3, 3, 5, 5], " "),
        _ => whole,
    })
}

fn no_codice_fiscale(random: &mut Random) -> Made {
    let right = fiscal(random);
    match random.below(6) {
        0 | 1 => {
            let last = (right.as_bytes()[15] - b'A' + 1 + random.below(25) as u8) % 26;
            beside(format!("{}{}", &right[..15], char::from(b'A' + last)))
        }
        2 => alone(format!("{right}{}", random.signs(LETTERS, 2))),
        3 => alone(random.signs("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 16)),
        4 => alone(format!("{}{}", random.signs(LETTERS, 6), random.digits(10))),
        _ => confusing(random),
    }
}

const NIR: Names = Names {
    keys: &["nir", "numero_secu", "numeroSecuriteSociale", "insee"],
    labels: &["N° de sécurité sociale", "NIR", "Numéro INSEE"],
    said: &["Mon numéro de sécurité sociale est le {}.", "NIR {}", "n° sécu : {}", "assuré {}, régime général"],
};

fn nir_body(random: &mut Random) -> String {
    let corsica = ["2A", "2B"];
    let department =
        if random.once_in(12) { corsica[random.below(2)].into() } else { format!("{:02}", random.between(1, 95)) };
    let department = if department == "20" { "21".to_owned() } else { department };
    format!(
        "{}{}{:02}{department}{:03}{:03}",
        random.between(1, 2),
        random.digits(2),
        random.between(1, 12),
        random.between(1, 908),
        random.between(1, 999)
    )
}

fn nir(random: &mut Random) -> Made {
    let body = nir_body(random);
    let whole = format!("{body}{}", checks::nir(&body));
    alone(match random.below(3) {
        0 => whole,
        _ => grouped(&whole, &[1, 2, 2, 2, 3, 3, 2], " "),
    })
}

fn no_nir(random: &mut Random) -> Made {
    let body = nir_body(random);
    let key = (checks::nir(&body).parse::<usize>().unwrap() + random.between(1, 95)) % 97 + 1;
    let right = checks::nir(&body).parse::<usize>().unwrap();
    let key = if key == right { key % 97 + 1 } else { key };
    match random.below(6) {
        0 | 1 => beside(format!("{body}{key:02}")),
        2 => beside(grouped(&format!("{body}{key:02}"), &[1, 2, 2, 2, 3, 3, 2], " ")),
        3 => alone(format!("35{}", random.digits(13))),
        4 => alone(format!("1{}", random.digits(15))),
        _ => confusing(random),
    }
}

const PESEL: Names = Names {
    keys: &["pesel", "PESEL", "numer_pesel", "peselNumber"],
    labels: &["PESEL", "Numer PESEL", "Nr PESEL"],
    said: &["Mój PESEL to {}.", "PESEL {} nie istnieje", "numer PESEL: {}", "PESEL of the applicant is {}"],
};

fn pesel_digits(random: &mut Random) -> String {
    let month = random.between(1, 12) + if random.once_in(3) { 20 } else { 0 };
    let body = format!("{}{month:02}{:02}{}", random.digits(2), random.between(1, 28), random.digits(4));
    format!("{body}{}", checks::pesel(&body))
}

fn pesel(random: &mut Random) -> Made {
    beside(pesel_digits(random))
}

fn no_pesel(random: &mut Random) -> Made {
    let right = pesel_digits(random);
    match random.below(5) {
        0 | 1 => beside(wrong_last(random, &right)),
        2 => alone(right),
        3 => beside(format!("{}{}", &right[..2], random.digits(6))),
        _ => confusing(random),
    }
}

const NHS: Names = Names {
    keys: &["nhs", "nhs_number", "nhsNumber", "nhs_no"],
    labels: &["NHS number", "NHS No.", "NHS"],
    said: &["My NHS number is {}.", "NHS no {} was seen on Monday", "patient, NHS: {}", "NHS number {}"],
};

fn nhs_digits(random: &mut Random) -> String {
    loop {
        let body = random.number(9);
        if let Some(last) = checks::nhs(&body) {
            return format!("{body}{last}");
        }
    }
}

fn nhs(random: &mut Random) -> Made {
    let whole = nhs_digits(random);
    beside(match random.below(5) {
        0 => whole,
        1 => grouped(&whole, &[3, 3, 4], "-"),
        _ => grouped(&whole, &[3, 3, 4], " "),
    })
}

fn no_nhs(random: &mut Random) -> Made {
    let right = nhs_digits(random);
    match random.below(5) {
        0 | 1 => beside(wrong_last(random, &right)),
        2 => alone(right),
        3 => alone(grouped(&right, &[3, 3, 4], " ")),
        _ => confusing(random),
    }
}

const CPF: Names = Names {
    keys: &["cpf", "CPF", "cpf_cliente", "numeroCpf"],
    labels: &["CPF", "CPF nº", "Número do CPF"],
    said: &["Meu CPF é {}.", "CPF {} não encontrado", "inscrito no CPF sob o nº {}", "cpf: {}"],
};

fn cpf_digits(random: &mut Random) -> String {
    let body = random.digits(9);
    format!("{body}{}", checks::cpf(&body))
}

fn dashed(whole: &str) -> String {
    format!("{}-{}", grouped(&whole[..9], &[3, 3, 3], "."), &whole[9..])
}

fn cpf(random: &mut Random) -> Made {
    let whole = cpf_digits(random);
    match random.below(4) {
        0 => beside(whole),
        1 => beside(format!("{}-{}", &whole[..9], &whole[9..])),
        _ => alone(dashed(&whole)),
    }
}

fn no_cpf(random: &mut Random) -> Made {
    let right = cpf_digits(random);
    match random.below(6) {
        0 => beside(wrong_last(random, &right)),
        1 => beside(dashed(&wrong_last(random, &right))),
        2 => alone(right),
        3 => beside(format!("{}/0001-{}", grouped(&random.digits(8), &[2, 3, 3], "."), random.digits(2))),
        4 => beside(dashed(&random.signs("1", 11))),
        _ => confusing(random),
    }
}
