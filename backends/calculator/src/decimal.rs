//! Decimal numbers as text and the one rounding they ever meet: what is a number, how large it may be, and the kernel
//! that divides and takes roots. Binary floating point appears nowhere. What the operators mean is in `arithmetic`.

use bigdecimal::num_bigint::BigInt;
use bigdecimal::num_bigint::Sign;
use bigdecimal::num_traits::Zero;
use bigdecimal::{BigDecimal, Signed};

/// The most digits a number may have before its decimal point, and the most after it.
pub const MAX_DIGITS: u64 = 10_000;

/// The longest text that is looked at as a number: all those digits, a sign, a point and an exponent.
pub const MAX_TEXT: usize = 20_032;

/// Significant digits of a quotient or root when the caller names none: those of IEEE 754 decimal128.
pub const DEFAULT_PRECISION: u32 = 34;

/// The most significant digits a caller may ask for.
pub const MAX_PRECISION: u32 = 1_000;

/// A number that came out of a calculation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The number, without trailing zeros.
    pub value: BigDecimal,
    /// Whether `value` is the true result, or the true result rounded to the precision.
    pub exact: bool,
}

impl Answer {
    /// A result that needed no rounding.
    pub fn exact(value: BigDecimal) -> Self {
        Self { value, exact: true }
    }
}

/// Reads a number: an optional sign, digits with an optional decimal point, an optional exponent of ten.
///
/// # Errors
/// Says in plain words what is wrong with `text`, for the caller of the tool.
pub fn parse(text: &str) -> Result<BigDecimal, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("a number of {} characters is too long: at most {MAX_TEXT} are read", text.len()));
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(text, exponent)?),
        None => (text, 0),
    };
    let unsigned = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_a_number(text));
    }
    let magnitude: BigInt = digits.parse().map_err(|_| not_a_number(text))?;
    let digits = if mantissa.starts_with('-') { -magnitude } else { magnitude };
    let places = i64::try_from(fraction.len()).map_err(|_| not_a_number(text))?;
    within_limits(BigDecimal::new(digits, places - exponent), "the number")
}

fn parse_exponent(text: &str, exponent: &str) -> Result<i64, String> {
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_a_number(text));
    }
    match exponent.parse() {
        Ok(value) if (-100_000..=100_000).contains(&value) => Ok(value),
        _ => Err(format!("the exponent of {} is too large: at most {MAX_DIGITS} digits fit", quoted(text))),
    }
}

fn not_a_number(text: &str) -> String {
    format!("{} is not a decimal number: write digits, such as -12.5 or 6.02e23", quoted(text))
}

/// `text` as part of a message: short, and with control characters escaped.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    let shown: String = text.chars().take(SHOWN).collect();
    match text.chars().nth(SHOWN) {
        Some(_) => format!("{shown:?}..."),
        None => format!("{shown:?}"),
    }
}

/// The significant digits a caller asked for.
///
/// # Errors
/// Says the bounds when `text` is not a whole number within them.
pub fn precision(text: Option<&str>) -> Result<u32, String> {
    match text.map(str::parse::<u32>) {
        None => Ok(DEFAULT_PRECISION),
        Some(Ok(digits)) if (1..=MAX_PRECISION).contains(&digits) => Ok(digits),
        Some(_) => Err(format!("precision must be a whole number from 1 to {MAX_PRECISION}")),
    }
}

/// `value` without trailing zeros, if it is no longer than [`MAX_DIGITS`] on either side of its point. `what` names it
/// in the error.
///
/// # Errors
/// Says on which side it is too long.
pub fn within_limits(value: BigDecimal, what: &str) -> Result<BigDecimal, String> {
    let limit = i64::try_from(MAX_DIGITS).unwrap_or(i64::MAX);
    let value = value.normalized();
    let places = value.fractional_digit_count();
    let whole = i64::try_from(value.digits()).unwrap_or(i64::MAX).saturating_sub(places);
    if whole > limit {
        return Err(format!("{what} is too large: it has more than {MAX_DIGITS} digits before its decimal point"));
    }
    if places > limit {
        return Err(format!("{what} is too fine: it has more than {MAX_DIGITS} digits after its decimal point"));
    }
    Ok(value)
}

/// `value` as digits with an optional point, never with an exponent.
pub fn text(value: &BigDecimal) -> String {
    value.to_plain_string()
}

/// 10 to the power of `exponent`.
pub fn power_of_ten(exponent: u64) -> BigInt {
    // `BigInt::pow` takes u32; the limits above keep every exponent far below that.
    BigInt::from(10).pow(u32::try_from(exponent).unwrap_or(u32::MAX))
}

/// The real `degree`th root of `numerator / denominator`, rounded half to even to `precision` significant digits.
/// Degree 1 is the quotient itself. The denominator is not zero, the degree is at least 1, and a negative quotient has
/// an odd degree: the callers have refused the rest.
///
/// The rounding is right because nothing is lost before it: the integer root is a floor, and what it left over only
/// decides on which side of a tie the true value lies.
pub fn root_of_ratio(numerator: &BigDecimal, denominator: &BigDecimal, degree: u32, precision: u32) -> Answer {
    let (top, top_scale) = numerator.as_bigint_and_scale();
    let (bottom, bottom_scale) = denominator.as_bigint_and_scale();
    if top.is_zero() || bottom.is_zero() {
        return Answer::exact(BigDecimal::zero());
    }
    let scale = top_scale - bottom_scale;
    let step = i64::from(degree);
    // Enough digits below the quotient for the root to have at least one more than asked for ...
    let wanted = step * (i64::from(precision) + 1) + 1 + digit_count(&bottom) - digit_count(&top);
    let shift = wanted.max(0);
    // ... and a power of ten that the root can be taken of.
    let shift = shift + (-(scale + shift)).rem_euclid(step);
    let dividend = top.abs() * power_of_ten(shift.unsigned_abs());
    let divisor = bottom.abs();
    let quotient = &dividend / &divisor;
    let root = if degree == 1 { quotient.clone() } else { quotient.nth_root(degree) };
    let leaves_rest = root.pow(degree) != quotient || &quotient * &divisor != dividend;
    let sign = if top.sign() == bottom.sign() { Sign::Plus } else { Sign::Minus };
    let answer = round(root, (scale + shift) / step, leaves_rest, precision);
    match sign {
        Sign::Minus => Answer { value: -answer.value, exact: answer.exact },
        _ => answer,
    }
}

fn digit_count(value: &BigInt) -> i64 {
    i64::try_from(BigDecimal::new(value.clone(), 0).digits()).unwrap_or(i64::MAX)
}

/// Rounds `digits` · 10^-`scale`, a positive floor of a true value that is larger exactly when `leaves_rest`.
fn round(digits: BigInt, scale: i64, leaves_rest: bool, precision: u32) -> Answer {
    let surplus = (digit_count(&digits) - i64::from(precision)).max(0);
    if surplus == 0 {
        return Answer { value: BigDecimal::new(digits, scale).normalized(), exact: !leaves_rest };
    }
    let unit = power_of_ten(surplus.unsigned_abs());
    let kept = &digits / &unit;
    let dropped = &digits % &unit;
    let twice = &dropped * 2;
    let up = twice > unit || (twice == unit && (leaves_rest || kept.bit(0)));
    let exact = !leaves_rest && dropped.is_zero();
    let kept = if up { kept + 1 } else { kept };
    Answer { value: BigDecimal::new(kept, scale - surplus).normalized(), exact }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> BigDecimal {
        parse(text).unwrap()
    }

    #[test]
    fn numbers_are_read_exactly_and_written_plainly() {
        let cases = [
            ("0", "0"),
            ("-0.000", "0"),
            ("0.1", "0.1"),
            ("+007.50", "7.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1000"),
            ("12.5E-3", "0.0125"),
            ("0.1234567890123456789012345678901234567890", "0.123456789012345678901234567890123456789"),
            ("9007199254740993", "9007199254740993"),
        ];
        for (given, expected) in cases {
            assert_eq!(text(&number(given)), expected, "{given}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_refused_with_its_text() {
        for given in ["", "-", ".", "e5", "1e", "1e+", "1.2.3", "1_000", "1,5", " 1", "0x10", "NaN", "inf", "--1", "١"]
        {
            let problem = parse(given).unwrap_err();
            assert!(problem.contains("is not a decimal number"), "{given}: {problem}");
        }
        assert!(parse("1\u{1b}[2J").unwrap_err().contains("\\u{1b}"));
    }

    #[test]
    fn absurd_sizes_are_refused_before_they_cost_anything() {
        for given in ["1e10000", "1e99999999999999999999", "-1e100000", "1e-10001", "0.1e-100001"] {
            assert!(parse(given).unwrap_err().contains("too"), "{given}");
        }
        assert!(parse(&"9".repeat(10_001)).unwrap_err().contains("too large"));
        assert!(parse(&"9".repeat(MAX_TEXT + 1)).unwrap_err().contains("too long"));
        assert_eq!(text(&number("1e9999")).len(), 10_000);
        assert_eq!(text(&number("1e-10000")).len(), 10_002);
    }

    #[test]
    fn quotients_are_rounded_half_to_even() {
        let cases = [
            ("1", "3", 5, "0.33333", false),
            ("2", "3", 5, "0.66667", false),
            ("1", "8", 3, "0.125", true),
            ("1", "8", 2, "0.12", false),
            ("3", "8", 2, "0.38", false),
            ("-3", "8", 2, "-0.38", false),
            ("99999", "1", 4, "100000", false),
            ("125", "-1e3", 2, "-0.12", false),
            ("0", "7", 3, "0", true),
            ("1.2500000001", "1", 2, "1.3", false),
            ("6e20", "3e-20", 10, "20000000000000000000000000000000000000000", true),
        ];
        for (top, bottom, precision, expected, exact) in cases {
            let answer = root_of_ratio(&number(top), &number(bottom), 1, precision);
            assert_eq!((text(&answer.value).as_str(), answer.exact), (expected, exact), "{top}/{bottom}");
        }
    }

    #[test]
    fn roots_of_ratios_are_exact_where_they_can_be() {
        let cases = [
            ("4", "9", 2, 6, "0.666667", false),
            ("1", "4", 2, 6, "0.5", true),
            ("0.0001", "1", 2, 6, "0.01", true),
            ("0.001", "1", 2, 6, "0.0316228", false),
            ("-27", "8", 3, 6, "-1.5", true),
            ("2e101", "2", 2, 4, "316200000000000000000000000000000000000000000000000", false),
        ];
        for (top, bottom, degree, precision, expected, exact) in cases {
            let answer = root_of_ratio(&number(top), &number(bottom), degree, precision);
            assert_eq!((text(&answer.value).as_str(), answer.exact), (expected, exact), "{top}/{bottom}");
        }
    }

    #[test]
    fn precision_has_a_default_and_bounds() {
        assert_eq!(precision(None), Ok(34));
        assert_eq!(precision(Some("1000")), Ok(1000));
        for given in ["0", "1001", "-1", "3.5", "1e2", ""] {
            assert!(precision(Some(given)).is_err(), "{given}");
        }
    }
}
