//! Which signs a text holds, gathered in one pass: what lets clean text go by without a second look.

/// The kinds of signs in a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Traits(u16);

impl Traits {
    /// `0` to `9`.
    pub(super) const DIGIT: Self = Self(1);
    /// `@`.
    pub(super) const AT: Self = Self(1 << 1);
    /// `%` and `&`, which URL and HTML codes begin with, and `?`, behind which a URL has pluses for spaces.
    pub(super) const CODE: Self = Self(1 << 2);
    /// `:`.
    pub(super) const COLON: Self = Self(1 << 3);
    /// `{` and `[`, without which no text is a JSON document.
    pub(super) const OPEN: Self = Self(1 << 4);
    /// Beyond ASCII.
    pub(super) const WIDE: Self = Self(1 << 5);
    /// A backslash.
    pub(super) const BACKSLASH: Self = Self(1 << 6);
    /// In a JSON string, `\u` or `\\`: what hides any other sign.
    pub(super) const HIDING: Self = Self(1 << 7);
    /// What ends or interrupts a JSON string: the quote, the backslash and control characters.
    pub(super) const STOP: Self = Self(1 << 8);

    /// Anything.
    pub(super) const ALL: Self = Self(u16::MAX);

    /// Of one byte.
    pub(super) fn of(byte: u8) -> Self {
        TABLE.get(usize::from(byte)).copied().unwrap_or_default()
    }

    /// Of a text that is not escaped.
    pub(super) fn of_plain(text: &str) -> Self {
        let seen = text.bytes().fold(Self::default(), |seen, byte| seen.and(Self::of(byte)));
        if seen.any(Self::BACKSLASH) { seen.and(Self::HIDING) } else { seen }
    }

    /// What a text shows once it is read: escapes and signs beyond ASCII may stand for any sign.
    pub(super) const fn shown(self) -> Self {
        if self.any(Self::WIDE.and(Self::HIDING)) { Self::ALL } else { self }
    }

    /// Both together.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `other` is here.
    pub(super) const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

const TABLE: [Traits; 256] = table();

#[expect(
    clippy::indexing_slicing,
    reason = "const evaluation: a wrong index is a compile error, and `get_mut` is not const"
)]
const fn table() -> [Traits; 256] {
    let mut table = [Traits(0); 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte {
            0..0x20 | 0x22 => Traits::STOP,
            0x5c => Traits::STOP.and(Traits::BACKSLASH),
            0x30..=0x39 => Traits::DIGIT,
            0x40 => Traits::AT,
            0x25 | 0x26 | 0x3f => Traits::CODE,
            0x3a => Traits::COLON,
            0x5b | 0x7b => Traits::OPEN,
            0x80.. => Traits::WIDE,
            _ => Traits(0),
        };
        byte += 1;
    }
    table
}
