//! A body in chunks (RFC 9112 section 7.1), read strictly and written anew: what stands beside the sizes, and what trails
//! behind the last, is read in more than one way by others. Pure.

/// The longest size, in hexadecimal digits.
const SIZE_DIGITS: u8 = 8;

/// The most bytes that may trail behind the last chunk.
const TRAILER: usize = 8 << 10;

/// A reader of one body.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    trailer: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Size {
        digits: u8,
        size: u64,
    },
    SizeEnd(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// The start of a line of the trailer.
    Line,
    /// Within such a line.
    Field,
    FieldEnd,
    /// The empty line behind it has begun.
    Last,
    Done,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

impl Chunks {
    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Reads from `bytes` and appends what is to be read instead to `out`; how many bytes belonged to the body.
    ///
    /// # Errors
    /// What is wrong with the framing.
    pub fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used).filter(|_| !self.is_done()) {
            if let State::Data(left) = self.state {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - used);
                out.extend_from_slice(bytes.get(used..used + take).unwrap_or_default());
                used += take;
                let left = left - take as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data(left) };
            } else {
                self.state = self.step(byte, out)?;
                used += 1;
            }
        }
        Ok(used)
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<State, &'static str> {
        Ok(match (self.state, byte) {
            (State::Size { digits, size }, _) => match (char::from(byte).to_digit(16), byte) {
                (Some(digit), _) if digits < SIZE_DIGITS => {
                    State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
                }
                (None, b'\r') if digits > 0 => State::SizeEnd(size),
                (None, b';' | b' ' | b'\t') => return Err("a chunk has an extension"),
                _ => return Err("a chunk's size is no number"),
            },
            (State::SizeEnd(0), b'\n') => State::Line,
            (State::SizeEnd(size), b'\n') => {
                out.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                State::Data(size)
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                out.extend_from_slice(b"\r\n");
                State::Size { digits: 0, size: 0 }
            }
            (State::Line, b'\r') => State::Last,
            (State::Last, b'\n') => {
                out.extend_from_slice(b"0\r\n\r\n");
                State::Done
            }
            (State::Field, b'\r') => State::FieldEnd,
            (State::FieldEnd, b'\n') => State::Line,
            (State::Line | State::Field, b'\t' | b' '..=b'~' | 0x80..) if self.trailer < TRAILER => {
                self.trailer += 1;
                State::Field
            }
            (State::Line | State::Field | State::FieldEnd | State::Last, _) => return Err("what trails is no field"),
            _ => return Err("a chunk does not end with CRLF"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], cut: usize) -> Result<(Vec<u8>, usize), &'static str> {
        let (mut chunks, mut out, mut used) = (Chunks::default(), Vec::new(), 0);
        for piece in bytes.chunks(cut) {
            used += chunks.read(piece, &mut out)?;
        }
        assert!(chunks.is_done(), "{}", String::from_utf8_lossy(bytes));
        Ok((out, used))
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut_and_what_trails_is_dropped() {
        for cut in [1, 2, 3, 100] {
            let plain = b"3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\n";
            assert_eq!(read(plain, cut), Ok((b"3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n".into(), plain.len())));
            let trailed = b"1\r\na\r\n00\r\nX-User-ID: root\r\nY: z\r\n\r\n";
            assert_eq!(read(trailed, cut), Ok((b"1\r\na\r\n0\r\n\r\n".into(), trailed.len())));
            let followed = b"0\r\n\r\nGET / HTTP/1.1\r\n";
            assert_eq!(read(followed, cut), Ok((b"0\r\n\r\n".into(), 5)));
        }
    }

    #[test]
    fn what_readers_differ_on_is_refused() {
        for bad in [
            "3;a=b\r\nabc\r\n0\r\n\r\n",
            "3;a\nabc\r\n0\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabc0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "-1\r\nabc\r\n0\r\n\r\n",
            "\r\nabc\r\n0\r\n\r\n",
            "00000000000000003\r\nabc\r\n0\r\n\r\n",
            "0\r\n\n",
            "0\r\nX: \0\r\n\r\n",
            "0\r\nX: y\n\r\n",
        ] {
            for cut in [1, 5, 100] {
                assert!(read(bad.as_bytes(), cut).is_err(), "{bad:?}");
            }
        }
        let long = format!("0\r\n{}\r\n\r\n", "x".repeat(TRAILER + 1));
        assert!(read(long.as_bytes(), 100).is_err());
    }
}
