//! Event streams: the same events however the bytes are cut, the events that the standard has, and the same again after
//! they were written.

use portcullis_core::mcp::sse::{Event, Parser};

/// A stream; its first two bytes say how it is cut and how large an event may be.
pub fn check(data: &[u8]) {
    let [cut, limit, stream @ ..] = data else { return };
    for limit in [usize::from(*limit), 1 << 20] {
        let whole = read(stream, limit, |_| usize::MAX);
        let step = usize::from(*cut % 7) + 1;
        assert_eq!(whole, read(stream, limit, |_| step), "cut into pieces of {step}");
        let uneven = |at: usize| usize::from(stream[at] % 5) + 1;
        assert_eq!(whole, read(stream, limit, uneven), "cut unevenly");
    }
    let (events, refused) = read(stream, 1 << 20, |_| usize::MAX);
    assert!(!refused);
    let dispatched: Vec<_> =
        events.iter().filter_map(|event| Some((event.event.clone(), event.data.clone()?))).collect();
    assert_eq!(dispatched, standard(stream), "the standard has other events");
    let mut written = Vec::new();
    events.iter().for_each(|event| event.write(&mut written));
    let (again, _) = read(&written, usize::MAX, |_| usize::MAX);
    assert_eq!(silent(again), silent(events), "what is written reads otherwise");
}

/// The events of `stream`, given in pieces as long as `piece` says for where each begins, and whether one was too large.
fn read(stream: &[u8], limit: usize, piece: impl Fn(usize) -> usize) -> (Vec<Event>, bool) {
    let (mut parser, mut events, mut at, mut refused) = (Parser::new(limit), Vec::new(), 0, false);
    while at < stream.len() {
        let end = at.saturating_add(piece(at)).min(stream.len());
        refused |= parser.push(&stream[at..end], &mut events).is_err();
        at = end;
    }
    (events, refused)
}

/// Comments go out in an event of their own where they stand before one, and a NUL in a name is left out.
fn silent(events: Vec<Event>) -> Vec<Event> {
    let name = |name: Option<String>| name.map(|name| name.replace('\0', "")).filter(|name| !name.is_empty());
    let without = events.into_iter().map(|event| Event { comments: Vec::new(), event: name(event.event), ..event });
    without.filter(|event| *event != Event::default()).collect()
}

/// The algorithm of WHATWG HTML, "Interpreting an event stream", word by word: type and data of each dispatched event.
fn standard(stream: &[u8]) -> Vec<(Option<String>, String)> {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut kind, mut data) = (Vec::new(), String::new(), String::new());
    // What follows the last line end is no line.
    let lines = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in lines.split('\n').filter(|_| text.contains('\n')) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            _ if line.is_empty() => {
                if let Some(data) = data.strip_suffix('\n') {
                    events.push((Some(kind.clone()).filter(|kind| !kind.is_empty()), data.to_owned()));
                }
                kind.clear();
                data.clear();
            }
            "event" => value.clone_into(&mut kind),
            "data" => data.extend([value, "\n"]),
            _ => {}
        }
    }
    events
}
