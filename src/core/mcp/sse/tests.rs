//! Streams however they are written and cut, by the numbers of the abuse cases where they have one.

use super::*;
use proptest::prelude::*;

const ROOM: usize = 1024;

fn events(stream: impl AsRef<[u8]>) -> Vec<Event> {
    let mut parser = Parser::new(ROOM);
    let mut out = Vec::new();
    parser.push(stream.as_ref(), &mut out).unwrap();
    out
}

/// What comes of `stream` when it arrives in pieces of `size` bytes.
fn in_pieces(stream: &[u8], size: usize) -> Vec<Event> {
    let mut parser = Parser::new(ROOM);
    let mut out = Vec::new();
    for piece in stream.chunks(size) {
        parser.push(piece, &mut out).unwrap();
    }
    out
}

fn data(text: &str) -> Event {
    Event::message(text)
}

fn comment(text: &str) -> Event {
    Event { comments: vec![text.to_owned()], ..Event::default() }
}

#[test]
fn cases_122_and_126_the_cut_and_the_line_ends_do_not_matter() {
    let stream =
        "\u{feff}: hello\n\nevent: message\ndata: {\"a\":\n:in\ndata: \"é😀\"}\nid: 7\nretry: 50\n\ndata\n\nid:\n\n";
    let expected = vec![
        comment(" hello"),
        Event {
            event: Some("message".into()),
            id: Some("7".into()),
            retry: Some(50),
            data: Some("{\"a\":\n\"é😀\"}".into()),
            comments: vec!["in".into()],
        },
        data(""),
        Event { id: Some(String::new()), ..Event::default() },
    ];
    for end in ["\n", "\r", "\r\n"] {
        let stream = stream.replace('\n', end);
        assert_eq!(events(&stream), expected, "{end:?}");
        for size in 1..8 {
            assert_eq!(in_pieces(stream.as_bytes(), size), expected, "{end:?} in pieces of {size}");
        }
    }
    assert_eq!(events("data: a\r\ndata: b\rdata: c\n\r\n"), [data("a\nb\nc")]);
}

#[test]
fn case_124_lines_of_data_are_joined() {
    assert_eq!(events("data: 078-05\ndata:-1120\n\n"), [data("078-05\n-1120")]);
}

#[test]
fn case_127_an_event_without_end_is_refused_at_the_limit() {
    for line in ["data: ", "x", ":", "id: "] {
        let mut parser = Parser::new(ROOM);
        let mut out = Vec::new();
        parser.push(b"data: before\n\n", &mut out).unwrap();
        parser.push(line.as_bytes(), &mut out).unwrap();
        let refused = (0..2_000).find_map(|_| parser.push(b"y", &mut out).err());
        assert_eq!(refused, Some(TooLarge(ROOM)));
        assert_eq!(parser.push(b"\n\ndata: after\n\n", &mut out), Err(TooLarge(ROOM)));
        assert_eq!(out, [data("before")]);
    }
    let mut parser = Parser::new(ROOM);
    assert!(parser.push("data:\nevent: x\n".repeat(200).as_bytes(), &mut Vec::new()).is_err());
    let whole = format!("data: {}\n\n", "x".repeat(ROOM - 6));
    assert_eq!(events(whole.repeat(3)).len(), 3);
}

#[test]
fn case_128_fields_are_read_as_the_standard_has_it() {
    for (stream, expected) in [
        ("data:x\n\n", vec![data("x")]),
        ("data:  x\n\n", vec![data(" x")]),
        ("data\n\n", vec![data("")]),
        ("data: a: b\n\n", vec![data("a: b")]),
        ("Data: x\n\n", vec![]),
        (" data: x\n\n", vec![]),
        ("unknown: x\ndata: y\n\n", vec![data("y")]),
        ("event:\ndata: y\n\n", vec![data("y")]),
        ("event: a\nevent: b\ndata: y\n\n", vec![Event { event: Some("b".into()), ..data("y") }]),
        ("retry: 1x\ndata: y\n\n", vec![data("y")]),
        ("retry: -1\ndata: y\n\n", vec![data("y")]),
        ("retry: 99999999999999999999999\ndata: y\n\n", vec![data("y")]),
        ("id: a\0b\ndata: y\n\n", vec![data("y")]),
        ("\n\n\n", vec![]),
        (":\n:ping\n", vec![comment(""), comment("ping")]),
        ("data: a\n\n\u{feff}data: b\n\n", vec![data("a")]),
    ] {
        assert_eq!(events(stream), expected, "{stream:?}");
    }
}

#[test]
fn a_sign_of_life_does_not_wait_for_a_blank_line() {
    let mut parser = Parser::new(ROOM);
    let mut out = Vec::new();
    parser.push(b": ping\n", &mut out).unwrap();
    assert_eq!(out, [comment(" ping")]);
}

#[test]
fn case_129_no_value_ends_its_line() {
    let event = Event {
        event: Some("a\ndata: forged".into()),
        id: Some("1\r\n\r\ndata: forged\0".into()),
        retry: None,
        data: Some("x\revent: forged\r\n\r\ny".into()),
        comments: vec!["c\ndata: forged".into()],
    };
    let mut out = Vec::new();
    event.write(&mut out);
    let read = events(&out);
    assert_eq!(read.iter().filter_map(|event| event.data.as_deref()).collect::<Vec<_>>(), ["x\nevent: forged\n\ny"]);
    assert_eq!(read.last().unwrap().event.as_deref(), Some("adata: forged"));
    assert_eq!(read.last().unwrap().id.as_deref(), Some("1data: forged"));
}

#[test]
fn case_132_half_an_event_is_not_delivered() {
    for stream in ["data: {\"a\":1", "data: {}\n", "event: x\r", "da"] {
        let mut parser = Parser::new(ROOM);
        let mut out = Vec::new();
        parser.push(stream.as_bytes(), &mut out).unwrap();
        assert!(out.is_empty(), "{stream:?}");
    }
}

#[test]
fn what_is_not_utf_8_is_replaced() {
    assert_eq!(events(b"data: a\xffb\n\n"), [data("a\u{fffd}b")]);
}

fn line() -> impl Strategy<Value = String> {
    let field = prop_oneof![Just("data"), Just("event"), Just("id"), Just("retry"), Just(""), Just("other")];
    (field, prop_oneof![Just(""), Just(":"), Just(": ")], "[a-z0-9é😀: ]{0,6}").prop_map(|(field, colon, value)| {
        if colon.is_empty() { field.to_owned() } else { format!("{field}{colon}{value}") }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_cut_gives_the_same_events(
        lines in prop::collection::vec((line(), prop_oneof![Just("\n"), Just("\r"), Just("\r\n"), Just("\n\n")]), 0..20),
        cuts in prop::collection::vec(1_usize..9, 1..40),
    ) {
        let stream: String = lines.iter().flat_map(|(line, end)| [line.as_str(), end]).collect();
        let mut parser = Parser::new(4096);
        let mut out = Vec::new();
        let mut rest = stream.as_bytes();
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            parser.push(piece, &mut out).unwrap();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(out, events(&stream));
    }

    #[test]
    fn an_event_is_read_as_it_was_written(
        event in prop::option::of("[a-z]{1,5}"),
        id in prop::option::of(".{0,5}".prop_filter("NUL is refused", |id| !id.contains(['\0', '\r', '\n']))),
        retry: Option<u64>,
        lines in prop::option::of(prop::collection::vec("[^\r\n]{0,6}", 1..4)),
    ) {
        let event = Event { event, id, retry, data: lines.map(|lines| lines.join("\n")), comments: vec![] };
        let mut out = Vec::new();
        event.write(&mut out);
        let read = events(&out);
        prop_assert_eq!(read, if event.is_empty() { vec![] } else { vec![event] });
    }

    #[test]
    fn no_bytes_at_all_make_it_panic(stream: Vec<u8>) {
        let _ = Parser::new(16).push(&stream, &mut Vec::new());
    }
}
