//! Choices that are the same on every machine and in every year: SplitMix64 (Steele, Lea, Flood 2014), of our own, so
//! that no release of a library changes what is made of a seed. Not for secrets.

/// A row of choices.
pub struct Random(u64);

impl Random {
    /// The row that `name` begins.
    pub fn named(name: &str) -> Self {
        // FNV-1a, 64 bits.
        Self(
            name.bytes()
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)),
        )
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of `from..=to`.
    pub fn between(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from + 1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// `count` signs of `of`.
    pub fn signs(&mut self, of: &str, count: usize) -> String {
        let of = of.as_bytes();
        (0..count).map(|_| char::from(of[self.below(of.len())])).collect()
    }

    pub fn digits(&mut self, count: usize) -> String {
        self.signs("0123456789", count)
    }

    /// Digits of which the first is no zero.
    pub fn number(&mut self, count: usize) -> String {
        self.signs("123456789", 1) + &self.digits(count - 1)
    }

    pub fn hex(&mut self, count: usize) -> String {
        self.signs("0123456789abcdef", count)
    }

    pub fn uuid(&mut self) -> String {
        [8, 4, 4, 4, 12].map(|count| self.hex(count)).join("-")
    }

    /// Most signs a letter of either case, the others digits.
    pub fn token(&mut self, count: usize) -> String {
        self.signs("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", count)
    }

    /// `2026-03-04T05:06:07.089Z`.
    pub fn instant(&mut self) -> String {
        let date = self.date(2019, 2027);
        let [hour, minute, second] = [24, 60, 60].map(|end| self.below(end));
        format!("{date}T{hour:02}:{minute:02}:{second:02}.{:03}Z", self.below(1000))
    }

    /// `2026-03-04`.
    pub fn date(&mut self, from: usize, to: usize) -> String {
        format!("{}-{:02}-{:02}", self.between(from, to), self.between(1, 12), self.between(1, 28))
    }
}
