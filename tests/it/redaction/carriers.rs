//! What values stand in: sentences, JSON, log lines, URLs, tables, Markdown and code, as answers of tools hold them. A
//! labelled value stands between `‹` and `›`, which nothing else here uses.

use super::random::Random;
use serde_json::Value;

/// How people and programs call a thing.
pub struct Names {
    /// Keys, columns, variables.
    pub keys: &'static [&'static str],
    /// In front of a value, as forms and letters have them.
    pub labels: &'static [&'static str],
    /// In sentences, with `{}` where the value stands.
    pub said: &'static [&'static str],
}

/// Names that tell nothing of the value.
pub const NEUTRAL: Names = Names {
    keys: &["note", "value", "entry", "data_1", "content", "extra"],
    labels: &["Note", "Entry", "Remark"],
    said: &[
        "Please use {} from now on.",
        "{}",
        "They wrote {} on the back of it.",
        "The second one ({}) is the right one.",
        "Not \"{}\", said the clerk.",
        "It was {}, if I remember well",
        "See {}; the rest follows on Monday.",
        "Zürich: {} – erledigt",
    ],
};

/// A carrier's name and the text of it.
pub struct Carried {
    pub carrier: &'static str,
    pub text: String,
}

const CARRIERS: [&str; 9] = ["prose", "json", "log", "url", "csv", "markdown", "code", "form", "prose"];

/// Puts a value into the carrier at `place`. `labelled`: it is to be found.
pub fn carry(random: &mut Random, place: usize, names: &Names, value: &str, labelled: bool) -> Carried {
    let carrier = match CARRIERS[place % CARRIERS.len()] {
        // Nobody puts several lines into these.
        "url" | "csv" | "log" | "code" if value.contains('\n') => "prose",
        carrier => carrier,
    };
    let mark = |value: &str| if labelled { format!("‹{value}›") } else { value.to_owned() };
    let key = random.pick(names.keys);
    let label = random.pick(names.labels);
    let text = match carrier {
        "json" => json(random, key, value, &mark),
        "log" => log(random, key, &mark(value)),
        "url" => url(random, key, value, &mark),
        "csv" => csv(random, key, value, &mark),
        "markdown" => markdown(random, label, &mark(value)),
        "code" => code(random, key, &mark(value)),
        "form" => form(random, label, &mark(value)),
        _ => random.pick(names.said).replace("{}", &mark(value)),
    };
    Carried { carrier, text }
}

fn json(random: &mut Random, key: &str, value: &str, mark: &dyn Fn(&str) -> String) -> String {
    let bare = !value.starts_with('0') && value.len() < 20 && value.bytes().all(|byte| byte.is_ascii_digit());
    let quoted = Value::from(value).to_string();
    let body = &quoted[1..quoted.len() - 1];
    let body = if bare && random.once_in(3) { mark(value) } else { format!("\"{}\"", mark(body)) };
    match random.below(4) {
        0 => format!("{{\"result\":{{\"structuredContent\":{{\"row\":{},\"{key}\":{body}}}}}}}", random.below(900)),
        1 => format!("{{\"result\":{{\"items\":[{{\"{key}\": {body}, \"open\": true}}, {{}}]}}}}"),
        2 => format!("{{\"result\":{{\"{key}\":[{body}],\"page\":{}}}}}", random.below(50)),
        _ => format!("{{\"result\":{{\"who\":{{\"at\":\"{}\",\"{key}\":{body}}}}}}}", random.instant()),
    }
}

fn log(random: &mut Random, key: &str, value: &str) -> String {
    let at = random.instant();
    match random.below(4) {
        0 => format!("{at} INFO lookup {key}={value} took={}ms", random.below(900)),
        1 => format!("level=info ts={at} msg=\"row written\" {key}=\"{value}\""),
        2 => format!("[{at}] WARN 17 --- [worker-3] {key}: {value}"),
        _ => format!("{at} DEBUG {{'{key}': '{value}', 'ok': True}}"),
    }
}

fn url(random: &mut Random, key: &str, value: &str, mark: &dyn Fn(&str) -> String) -> String {
    let plus = random.once_in(4);
    let sign = |sign: char| match sign {
        ' ' if plus => "+".to_owned(),
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~' => sign.to_string(),
        _ => sign.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect(),
    };
    let value = mark(&value.chars().map(sign).collect::<String>());
    match random.below(3) {
        0 => format!("https://app.example.com/find?{key}={value}&page=2"),
        1 => format!("GET /v1/search?limit=20&{key}={value} HTTP/1.1"),
        _ => format!("see https://app.example.com/x?{key}={value}"),
    }
}

fn csv(random: &mut Random, key: &str, value: &str, mark: &dyn Fn(&str) -> String) -> String {
    let sign = random.pick(&[",", ";", "\t"]);
    let cell = if value.contains(sign) { format!("\"{}\"", mark(value)) } else { mark(value) };
    let other = random.between(2, 40);
    match random.below(3) {
        0 => format!("row{sign}{key}{sign}city\n{other}{sign}{cell}{sign}Bern\n"),
        1 => format!("{key}{sign}status\nnone{sign}new\n{cell}{sign}open\n"),
        _ => format!("city{sign}qty{sign}{key}\nLyon{sign}{other}{sign}{cell}\n"),
    }
}

fn markdown(random: &mut Random, label: &str, value: &str) -> String {
    match random.below(4) {
        0 => format!("- **{label}:** {value}\n- **Status:** open"),
        1 => format!("| City | {label} |\n|---|---|\n| Bern | {value} |\n"),
        2 => format!("## Customer\n\n{label}: `{value}`\n"),
        _ => format!("* {label}: *{value}*"),
    }
}

fn code(random: &mut Random, key: &str, value: &str) -> String {
    match random.below(5) {
        0 => format!("const {key} = \"{value}\";"),
        1 => format!("record.set('{key}', '{value}')"),
        2 => format!("{key}: '{value}', // from the form"),
        3 => format!("INSERT INTO t (id, {key}) VALUES (7, '{value}');"),
        _ => format!("assert_eq!(row[\"{key}\"], \"{value}\");"),
    }
}

fn form(random: &mut Random, label: &str, value: &str) -> String {
    match random.below(4) {
        0 => format!("{label}:\n{value}\n"),
        1 => format!("{label}\t{value}"),
        2 => format!("City: Bern\n{label}: {value}\nStatus: open"),
        _ => format!("{label} – {value}"),
    }
}
