//! How people and machines are reached, and what their papers say: addresses, telephone and passport numbers, birthdays.

use super::carriers::Names;
use super::corpus::{Kind, Made, alone, beside, confusing};
use super::random::Random;

pub const KINDS: [Kind; 7] = [
    Kind { name: "email", names: EMAIL, value: email, near: no_email },
    Kind { name: "phone", names: PHONE, value: phone, near: no_phone },
    Kind { name: "ip", names: IP, value: ip, near: no_ip },
    Kind { name: "mac", names: MAC, value: mac, near: no_mac },
    Kind { name: "bic", names: BIC, value: bic, near: no_bic },
    Kind { name: "passport", names: PASSPORT, value: passport, near: no_passport },
    Kind { name: "birth_date", names: BIRTH_DATE, value: birth_date, near: no_birth_date },
];

const EMAIL: Names = Names {
    keys: &["email", "e_mail", "contactEmail", "from", "owner"],
    labels: &["E-mail", "Email", "Contact", "Mail"],
    said: &["Write to {} today.", "mail <{}> bounced", "From: {}", "(cc {})", "reach me at {}!", "{}, please"],
};

fn email(random: &mut Random) -> Made {
    let names =
        ["ana", "jean-luc", "mueller", "o'brien", "li", "x", "maria.silva", "s.k.jones", "josé", "петр", "no_reply"];
    let name = random.pick(&names);
    let local = match random.below(7) {
        0 => format!("{name}{}", random.number(3)),
        1 => format!("{name}+{}", random.signs("abcdefghij", 4)),
        2 => format!("{name}_{}", random.number(2)),
        3 => name.to_uppercase(),
        4 if random.once_in(4) => "\"john doe\"".to_owned(),
        _ => format!("{name}.{}", random.signs("abcdefgh", 5)),
    };
    let hosts = [
        "example.com",
        "mail.example.co.uk",
        "example.org",
        "sub.dept.example.museum",
        "xn--bcher-kva.example",
        "bücher.example",
        "EXAMPLE.NET",
        "ex-ample.io",
    ];
    alone(format!("{local}@{}", random.pick(&hosts)))
}

fn no_email(random: &mut Random) -> Made {
    let word = random.signs("abcdefghijklm", 5);
    match random.below(10) {
        0 => alone(format!("@{word}")),
        1 => alone(format!("{word}@localhost")),
        2 => alone(format!("{word}@{}.{}.{}", random.below(20), random.below(20), random.below(20))),
        3 => alone(format!("@{word}/client@^{}.{}.0", random.below(9), random.below(20))),
        4 => alone(format!("{word}@2x.png")),
        5 => alone(format!("git@example.com:{word}/repo.git")),
        6 => alone(format!("{word} @ example.com")),
        7 => alone(format!("{word}@-{word}.com")),
        8 => alone(format!(
            "{word}@{}.{}.{}.{}",
            random.below(250),
            random.below(250),
            random.below(250),
            random.below(250)
        )),
        _ => confusing(random),
    }
}

const PHONE: Names = Names {
    keys: &["phone", "phone_number", "mobilePhone", "tel", "fax", "telefon", "telephone"],
    labels: &["Phone", "Tel.", "Telefon", "Téléphone", "Mobile", "Teléfono", "Fax"],
    said: &[
        "Call me at {}.",
        "my phone number is {}, any time",
        "Tel. {}",
        "You can reach her by phone on {}.",
        "Ruf mich an: Telefon {}",
        "WhatsApp: {}",
        "Mobile {} (after six)",
        "please ring {} and ask for Kim",
    ],
};

/// With the country's code in front: `d` is a digit, `n` one but 0 and 1.
const INTERNATIONAL: [&str; 34] = [
    "+41 44 ndd dd dd",
    "+4179ddddddd",
    "+41 (0)44 ndd dd dd",
    "+41-44-ndd-dd-dd",
    "+1 (4n5) ndd-dddd",
    "+1 4n5-ndd-dddd",
    "+14n5ndddddd",
    "+1.4n5.ndd.dddd",
    "+1-4n5-ndd-dddd",
    "+1 4n5 ndd dddd",
    "+49 30 ndddddd",
    "+49 (0) 151 ndddddd",
    "+49 30/nddd-dddd",
    "+4915ndddddddd",
    "+33 6 dd dd dd dd",
    "+33 (0)6 dd dd dd dd",
    "+33.6.dd.dd.dd.dd",
    "+44 20 7ddd dddd",
    "+44 7700 9dd ddd",
    "+44 (0)20 7ddd dddd",
    "+442077ddddd",
    "+351 91n ddd ddd",
    "+55 (11) 9nddd-dddd",
    "+91 98nddd ddddd",
    "+81-3-nddd-dddd",
    "+86 138 dddd dddd",
    "+7 (495) ndd-dd-dd",
    "+47 2n dd dd dd",
    "+45 2nddddddd",
    "+34 6nd ddd ddd",
    "+39 02 ndddddd",
    "+31 20 ndd dddd",
    "+43 1 nddd dddd",
    "+971 4 ndd dddd",
];

/// Without it.
const NATIONAL: [&str; 24] = [
    "044 ndd dd dd",
    "079 ndd dd dd",
    "0791ndddddd",
    "(4n5) ndd-dddd",
    "4n5-ndd-dddd",
    "4n5.ndd.dddd",
    "(4n5)ndd-dddd",
    "020 7ddd dddd",
    "07700 9ddddd",
    "(020) 7ddd dddd",
    "030 ndddddd",
    "030/ndddddd",
    "0151-ndddddd",
    "0151 / ndd dd dd",
    "06 dd dd dd dd",
    "06.dd.dd.dd.dd",
    "6nd ddd ddd",
    "(11) 9nddd-dddd",
    "03-nddd-dddd",
    "8 (495) ndd-dd-dd",
    "1-800-ndd-dddd",
    "02 ndddddd",
    "0041 44 ndd dd dd",
    "0044 20 7ddd dddd",
];

fn filled(random: &mut Random, form: &str) -> String {
    let sign = |sign| match sign {
        'd' => random.digits(1),
        'n' => random.signs("23456789", 1),
        other => String::from(other),
    };
    form.chars().map(sign).collect()
}

fn phone(random: &mut Random) -> Made {
    if random.once_in(2) {
        let form = random.pick(&INTERNATIONAL);
        return alone(filled(random, form));
    }
    let form = random.pick(&NATIONAL);
    beside(filled(random, form))
}

fn no_phone(random: &mut Random) -> Made {
    match random.below(12) {
        0 => alone(random.number(10)),
        1 => alone(filled(random, "4n5-ndd-dddd")),
        2 => alone(format!("+{}", random.number(6))),
        3 => alone(format!("+0{}", random.digits(9))),
        4 => alone(format!("+{}.{}", random.number(2), random.digits(6))),
        5 => alone(format!("{}+02:00", &random.instant()[..19])),
        6 => alone(format!("+{}", random.number(17))),
        7 => alone(format!("978-3-16-{}-{}", random.digits(6), random.digits(1))),
        8 => alone(format!("1+{}", random.number(8))),
        9 => beside(format!("iPhone {}", random.below(17))),
        10 => beside(random.date(2019, 2027)),
        _ => confusing(random),
    }
}

const IP: Names = Names {
    keys: &["ip", "client_ip", "remoteAddr", "host", "source"],
    labels: &["IP", "IP address", "Host", "Peer"],
    said: &[
        "Connection from {} refused",
        "ping {} times out",
        "Blocked {}.",
        "{} - - \"GET / HTTP/1.1\" 200",
        "http://{}/x",
    ],
};

fn ip(random: &mut Random) -> Made {
    let quad = |random: &mut Random| [223, 255, 255, 254].map(|end| random.between(1, end).to_string()).join(".");
    match random.below(8) {
        0 => alone(format!("2001:db8::{}", random.hex(3).replacen('0', "1", 1))),
        1 => alone(format!(
            "fe80::{}ff:fe{}:{}",
            random.hex(2).replace('0', "1"),
            random.hex(2),
            random.hex(4).replace('0', "7")
        )),
        2 => alone((0..8).map(|_| random.hex(4)).collect::<Vec<_>>().join(":").replacen(
            |sign: char| sign.is_alphabetic(),
            "5",
            1,
        )),
        3 => alone(format!("::ffff:{}", quad(random))),
        4 => alone(format!("10.{}.{}.{}", random.below(256), random.below(256), random.below(256))),
        _ => alone(quad(random)),
    }
}

fn no_ip(random: &mut Random) -> Made {
    let part = |random: &mut Random| random.below(30).to_string();
    let [a, b, c, d, e] = [(); 5].map(|()| part(random));
    match random.below(10) {
        0 => alone(format!("version {a}.{b}.{c}.{d}")),
        1 => alone(format!("v{a}.{b}.{c}.{d}")),
        2 => alone(format!("{a}.{b}.{c}.{d}.{e}")),
        3 => alone(format!("{}.{b}.{c}.{d}", random.between(256, 999))),
        4 => alone(format!("12:{}:{}", random.between(10, 59), random.between(10, 59))),
        5 => alone((0..20).map(|_| random.hex(2).to_uppercase()).collect::<Vec<_>>().join(":")),
        6 => alone((0..6).map(|_| random.hex(2)).collect::<Vec<_>>().join(":")),
        7 => alone(format!("std::{}::new", random.signs("ghijklm", 5))),
        8 => alone(format!("{a}.{b}.{c}-rc.{d}")),
        _ => confusing(random),
    }
}

const MAC: Names = Names {
    keys: &["mac", "mac_address", "hwaddr", "macAddress", "bssid"],
    labels: &["MAC", "MAC address", "Hardware address"],
    said: &[
        "The device with MAC {} joined.",
        "MAC address {} is unknown",
        "ether {} txqueuelen 1000",
        "hwaddr {}, lease ended",
    ],
};

fn mac(random: &mut Random) -> Made {
    let octets: Vec<String> = (0..6).map(|_| random.hex(2)).collect();
    match random.below(7) {
        0 => alone(octets.join("-")),
        1 => alone(octets.join("-").to_uppercase()),
        2 => alone(octets.join(":").to_uppercase()),
        3 => alone(octets.chunks(2).map(<[String]>::concat).collect::<Vec<_>>().join(".")),
        4 => beside(format!("{}{}", octets[..5].concat(), "a7")),
        _ => alone(octets.join(":")),
    }
}

fn no_mac(random: &mut Random) -> Made {
    let octets = |random: &mut Random, count| (0..count).map(|_| random.hex(2)).collect::<Vec<_>>();
    match random.below(9) {
        0 => beside(octets(random, 5).join(":")),
        1 => beside(octets(random, 7).join(":")),
        2 => alone(octets(random, 8).join(":")),
        3 => alone(octets(random, 20).join(":").to_uppercase()),
        4 => alone(random.hex(12)),
        5 => beside(format!("{}:{}", octets(random, 5).join(":"), random.signs("ghijk", 2))),
        6 => alone(format!("12:{}:{}", random.between(10, 59), random.between(10, 59))),
        7 => alone(octets(random, 4).join("-")),
        _ => confusing(random),
    }
}

const BIC: Names = Names {
    keys: &["bic", "swift", "swift_code", "bicCode", "BIC"],
    labels: &["BIC", "SWIFT", "BIC/SWIFT", "SWIFT code"],
    said: &["The BIC is {}.", "SWIFT: {}", "BIC {} (Zürich)", "Please pay to BIC code {}, thanks", "swift code {}"],
};

fn bic(random: &mut Random) -> Made {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let country =
        random.pick(&["CH", "DE", "FR", "GB", "US", "IT", "ES", "NL", "AT", "BE", "SE", "PL", "BR", "JP", "SG"]);
    let place = random.signs(letters, 1) + &random.signs("ABCDEFGHIJKLMNOPQRSTUVWXYZ23456789", 1);
    let branch = match random.below(3) {
        0 => random.signs("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 3),
        1 => "XXX".to_owned(),
        _ => String::new(),
    };
    beside(format!("{}{country}{place}{branch}", random.signs(letters, 4)))
}

fn no_bic(random: &mut Random) -> Made {
    let right = bic(random).text;
    match random.below(8) {
        0 => alone(right),
        1 => beside(format!("{}QQ{}", &right[..4], &right[6..])),
        2 => beside(random.pick(&["pending", "n/a", "unknown", "not given", "see below"]).to_owned()),
        3 => beside(format!("{}{}", &right[..8], random.digits(5))),
        4 => beside(format!("1{}", &right[1..])),
        5 => beside(format!("{}.{}", random.between(4, 6), random.below(10))),
        6 => alone(random.pick(&["CONFIRMED", "DELIVERY", "INTERNAL", "DISABLED", "CUSTOMER"]).to_owned()),
        _ => confusing(random),
    }
}

const PASSPORT: Names = Names {
    keys: &["passport", "passport_number", "passportNo", "reisepass", "passeport"],
    labels: &["Passport no.", "Passport", "Reisepass-Nr.", "N° de passeport", "Pasaporte"],
    said: &[
        "My passport number is {}.",
        "Passport {} is valid",
        "Reisepassnummer: {}",
        "passeport n° {}",
        "travelled on passport {} in May",
    ],
};

fn passport(random: &mut Random) -> Made {
    let letters = "ABCDEFGHJKLMNPRSTUVWXYZ";
    beside(match random.below(9) {
        0 => random.number(9),                                                                   // US, GB
        1 => format!("{}{}", random.signs("ABCX", 1), random.digits(8)),                         // US
        2 => format!("C{}{}", random.digits(2), random.signs("CFGHJKLMNPRTVWXYZ0123456789", 6)), // DE
        3 => format!("{}{}{}", random.digits(2), random.signs(letters, 2), random.digits(5)),    // FR
        4 => format!("Y{}{}", random.signs("ABC", 1), random.digits(7)),                         // IT
        5 => format!("{}{}", random.signs(letters, 3), random.digits(6)),                        // ES
        6 => format!("X{}", random.digits(7)),                                                   // CH
        7 => format!("{}{}", random.signs(letters, 2), random.digits(6)),                        // CA, BR
        _ => format!("{}{}", random.signs("JKLMNPRSTUVZ", 1), random.digits(7)),                 // IN
    })
}

fn no_passport(random: &mut Random) -> Made {
    match random.below(8) {
        0 => alone(passport(random).text),
        1 => beside(random.date(2019, 2035)),
        2 => beside(random.pick(&["pending", "valid", "REQUIRED", "expired", "EXCEPTION"]).to_owned()),
        3 => beside(format!("v0.{}.{}", random.below(9), random.below(9))),
        4 => beside("35x45 mm".to_owned()),
        5 => beside(random.hex(40)),
        6 => alone(random.number(9)),
        _ => confusing(random),
    }
}

const BIRTH_DATE: Names = Names {
    keys: &["date_of_birth", "dob", "birthDate", "birthday", "geburtsdatum"],
    labels: &["Date of birth", "DOB", "Geburtsdatum", "Date de naissance", "Fecha de nacimiento"],
    said: &[
        "She was born on {}.",
        "DOB {}",
        "geboren am {} in Bern",
        "né le {} à Lyon",
        "My date of birth is {}, as you know.",
        "birthday: {}",
        "nacido el {}",
    ],
};

fn birth_date(random: &mut Random) -> Made {
    let (year, month, day) = (random.between(1925, 2015), random.between(1, 12), random.between(1, 28));
    let names = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let name = names[month - 1];
    beside(match random.below(11) {
        0 | 1 => format!("{year}-{month:02}-{day:02}"),
        2 => format!("{day:02}.{month:02}.{year}"),
        3 => format!("{day}.{month}.{year}"),
        4 => format!("{month:02}/{day:02}/{year}"),
        5 => format!("{day:02}/{month:02}/{year}"),
        6 => format!("{day} {name} {year}"),
        7 => format!("{name} {day}, {year}"),
        8 => format!("{day:02}-{}-{year}", &name[..3]),
        9 => format!("{year}/{month:02}/{day:02}"),
        _ => format!("{day:02}/{month:02}/{:02}", year % 100),
    })
}

fn no_birth_date(random: &mut Random) -> Made {
    match random.below(8) {
        0 => alone(random.date(1925, 2015)),
        1 => alone(random.instant()),
        2 => beside(format!("{}-{}-{}", random.between(1950, 2000), random.between(13, 19), random.between(10, 28))),
        3 => beside(random.between(1930, 2010).to_string()),
        4 => beside(random.pick(&["unknown", "withheld", "in 1985 or so", "n/a"]).to_owned()),
        5 => alone(format!("issued on {}", random.date(2019, 2027))),
        6 => beside(format!("v{}.{}.{}", random.below(20), random.below(20), random.below(20))),
        _ => confusing(random),
    }
}
