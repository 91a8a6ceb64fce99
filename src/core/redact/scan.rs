//! The tokens of a JSON text (RFC 8259), strictly, but for the numbers that some printers write beside it. Knows nothing of what they mean.

use super::plan::Failure;
use super::traits::Traits;
use std::ops::Range;

/// Bytes that are gone over without asking at each whether the string ends.
const STRIDE: usize = 8;

/// A place in a JSON text.
pub(super) struct Scanner<'d> {
    text: &'d str,
    at: usize,
    /// Whether `NaN`, `Infinity` and `-Infinity` are values.
    odd_numbers: bool,
}

/// The body of a string: what is between the quotes, escaped as it stands.
#[derive(Debug, Clone)]
pub(super) struct Body {
    /// Where.
    pub(super) span: Range<usize>,
    /// Which signs it holds.
    pub(super) traits: Traits,
}

impl<'d> Scanner<'d> {
    /// At the start.
    pub(super) fn new(text: &'d str) -> Self {
        Self { text, at: 0, odd_numbers: false }
    }

    /// The same for a text in which `NaN`, `Infinity` and `-Infinity` are values, as Python and JavaScript write them.
    pub(super) fn with_odd_numbers(text: &'d str) -> Self {
        Self { odd_numbers: true, ..Self::new(text) }
    }

    /// The place, in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// A part of the text.
    pub(super) fn part(&self, span: &Range<usize>) -> &'d str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes over the byte if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    /// Goes over the byte that must come next.
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Failure> {
        if self.take(byte) { Ok(()) } else { Err(Failure::Malformed) }
    }

    /// Goes over white space.
    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The text must end here.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.space();
        if self.peek().is_none() { Ok(()) } else { Err(Failure::Malformed) }
    }

    /// Goes over a string.
    pub(super) fn string(&mut self) -> Result<Body, Failure> {
        self.expect(b'"')?;
        let start = self.at;
        let mut traits = Traits::default();
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let (strides, _) = rest.as_chunks::<STRIDE>();
            let whole = strides.iter().take_while(|stride| {
                let seen = stride.iter().fold(Traits::default(), |seen, byte| seen.and(Traits::of(*byte)));
                let goes_on = !seen.any(Traits::STOP);
                traits = if goes_on { traits.and(seen) } else { traits };
                goes_on
            });
            self.at += whole.count() * STRIDE;
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let stop = rest.iter().position(|byte| {
                let sign = Traits::of(*byte);
                traits = traits.and(sign);
                sign.any(Traits::STOP)
            });
            self.at += stop.ok_or(Failure::Malformed)?;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => traits = traits.and(self.escape()?),
                _ => return Err(Failure::Malformed),
            }
        }
        let span = start..self.at;
        self.at += 1;
        Ok(Body { span, traits })
    }

    fn escape(&mut self) -> Result<Traits, Failure> {
        let sign = self.text.as_bytes().get(self.at + 1);
        self.at += 2;
        match sign {
            Some(b'\\') => Ok(Traits::HIDING),
            Some(b'"' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(Traits::default()),
            Some(b'u') => {
                let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(Failure::Malformed)?;
                self.at += 4;
                let hex = digits.iter().all(u8::is_ascii_hexdigit);
                if hex { Ok(Traits::HIDING) } else { Err(Failure::Malformed) }
            }
            _ => Err(Failure::Malformed),
        }
    }

    /// Goes over a number.
    pub(super) fn number(&mut self) -> Result<Range<usize>, Failure> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(start..self.at)
    }

    fn digits(&mut self) -> Result<(), Failure> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count > 0 { Ok(()) } else { Err(Failure::Malformed) }
    }

    /// Whether a minus that comes next is not a number's.
    pub(super) fn at_odd_number(&self) -> bool {
        self.odd_numbers && self.text.get(self.at..).is_some_and(|rest| rest.starts_with("-Infinity"))
    }

    /// Goes over `true`, `false` or `null`.
    pub(super) fn literal(&mut self) -> Result<(), Failure> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let odd = ["NaN", "Infinity", "-Infinity"].into_iter().filter(|_| self.odd_numbers);
        let word = ["true", "false", "null"].into_iter().chain(odd).find(|word| rest.starts_with(word));
        self.at += word.ok_or(Failure::Malformed)?.len();
        Ok(())
    }
}
