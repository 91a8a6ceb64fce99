//! The operators of `exact_calculate`: what each means, how many operands it takes and where it stops. Sums, products
//! and powers are exact; quotients and roots are rounded once, at the end, by `decimal`.

use bigdecimal::num_bigint::BigInt;
use bigdecimal::num_traits::{One, ToPrimitive, Zero};
use bigdecimal::{BigDecimal, RoundingMode};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::decimal::{Answer, MAX_DIGITS, power_of_ten, root_of_ratio, within_limits};

/// The most operands one calculation takes.
pub const MAX_OPERANDS: usize = 100;

/// The highest root that is taken.
const MAX_DEGREE: u32 = 100;

/// The most digits of work a root may need: its degree times its precision.
const MAX_ROOT_WORK: u32 = 20_000;

/// What to do with the operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// The sum of all operands; exact.
    Add,
    /// The first operand less all others; exact.
    Subtract,
    /// The product of all operands; exact.
    Multiply,
    /// The first of two operands over the second, to `precision` significant digits.
    Divide,
    /// The quotient of two operands without its fraction (rounded towards zero); exact.
    IntegerDivide,
    /// What integer_divide leaves over, with the sign of the first operand; exact.
    Modulo,
    /// The first of two operands to the power of the second, a whole number; exact unless that is negative.
    Power,
    /// The square root of one operand, to `precision` significant digits.
    Sqrt,
    /// The root of the first operand whose degree is the second, a whole number from 1 to 100.
    Root,
    /// One operand without its sign; exact.
    Absolute,
    /// One operand with the opposite sign; exact.
    Negate,
    /// The smallest operand; exact.
    Minimum,
    /// The largest operand; exact.
    Maximum,
    /// The first operand rounded half to even to as many decimal places as the second says.
    Round,
}

impl Operator {
    /// The name a caller knows it by.
    fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Multiply => "multiply",
            Self::Divide => "divide",
            Self::IntegerDivide => "integer_divide",
            Self::Modulo => "modulo",
            Self::Power => "power",
            Self::Sqrt => "sqrt",
            Self::Root => "root",
            Self::Absolute => "absolute",
            Self::Negate => "negate",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::Round => "round",
        }
    }
}

/// Applies `operator` to `operands`. `precision` matters to quotients and roots only.
///
/// # Errors
/// Says in plain words why there is no result: a wrong number of operands, a division by zero, a result that is too
/// large, and the like.
pub fn calculate(operator: Operator, operands: &[BigDecimal], precision: u32) -> Result<Answer, String> {
    if operands.len() > MAX_OPERANDS {
        return Err(format!("{} operands are too many: at most {MAX_OPERANDS} are taken", operands.len()));
    }
    let answer = match operands {
        [] => Err(format!("{} needs operands", operator.name())),
        [only] => unary(operator, only, precision),
        [first, second] => binary(operator, first, second, precision),
        [first, others @ ..] => fold(operator, first, others),
    }?;
    Ok(Answer { value: within_limits(answer.value, "the result")?, exact: answer.exact })
}

fn unary(operator: Operator, operand: &BigDecimal, precision: u32) -> Result<Answer, String> {
    match operator {
        Operator::Sqrt => root(operand, 2, precision),
        Operator::Absolute => Ok(Answer::exact(operand.abs())),
        Operator::Negate => Ok(Answer::exact(-operand)),
        Operator::Minimum | Operator::Maximum => Ok(Answer::exact(operand.clone())),
        Operator::Add | Operator::Subtract | Operator::Multiply => {
            Err(format!("{} needs at least two operands, got one", operator.name()))
        }
        _ => Err(format!("{} needs two operands, got one", operator.name())),
    }
}

fn binary(operator: Operator, first: &BigDecimal, second: &BigDecimal, precision: u32) -> Result<Answer, String> {
    match operator {
        Operator::Divide => divide(first, second, precision),
        Operator::IntegerDivide => Ok(Answer::exact(divide_whole(first, second)?.0)),
        Operator::Modulo => Ok(Answer::exact(divide_whole(first, second)?.1)),
        Operator::Power => power(first, second, precision),
        Operator::Root => root(first, degree(second)?, precision),
        Operator::Round => round(first, second),
        _ => fold(operator, first, std::slice::from_ref(second)),
    }
}

fn fold(operator: Operator, first: &BigDecimal, others: &[BigDecimal]) -> Result<Answer, String> {
    let step: fn(&BigDecimal, &BigDecimal) -> Result<BigDecimal, String> = match operator {
        Operator::Add => |left, right| Ok(left + right),
        Operator::Subtract => |left, right| Ok(left - right),
        Operator::Multiply => multiply,
        Operator::Minimum => |left, right| Ok(left.min(right).clone()),
        Operator::Maximum => |left, right| Ok(left.max(right).clone()),
        Operator::Sqrt | Operator::Absolute | Operator::Negate => {
            return Err(format!("{} needs one operand, got {}", operator.name(), others.len() + 1));
        }
        _ => return Err(format!("{} needs two operands, got {}", operator.name(), others.len() + 1)),
    };
    let mut result = first.clone();
    for operand in others {
        result = within_limits(step(&result, operand)?, "the result")?;
    }
    Ok(Answer::exact(result))
}

fn multiply(left: &BigDecimal, right: &BigDecimal) -> Result<BigDecimal, String> {
    // Trailing zeros aside, a product has at least one digit fewer than its factors together: refused before it costs.
    if left.digits() + right.digits() > 4 * MAX_DIGITS {
        return Err(too_large());
    }
    Ok(left * right)
}

fn divide(top: &BigDecimal, bottom: &BigDecimal, precision: u32) -> Result<Answer, String> {
    refuse_zero(bottom)?;
    Ok(root_of_ratio(top, bottom, 1, precision))
}

/// Quotient towards zero and remainder, as whole numbers of the finer operand's unit.
fn divide_whole(top: &BigDecimal, bottom: &BigDecimal) -> Result<(BigDecimal, BigDecimal), String> {
    refuse_zero(bottom)?;
    let scale = top.fractional_digit_count().max(bottom.fractional_digit_count());
    let (dividend, divisor) = (whole_at(top, scale), whole_at(bottom, scale));
    let quotient = BigDecimal::new(&dividend / &divisor, 0);
    Ok((quotient, BigDecimal::new(dividend % divisor, scale)))
}

/// `value` · 10^`scale`, where `scale` is at least the value's own.
fn whole_at(value: &BigDecimal, scale: i64) -> BigInt {
    let (digits, own) = value.as_bigint_and_scale();
    digits.as_ref() * power_of_ten((scale - own).unsigned_abs())
}

fn power(base: &BigDecimal, exponent: &BigDecimal, precision: u32) -> Result<Answer, String> {
    if !exponent.is_integer() {
        return Err("power needs a whole exponent: for a fractional one use root or sqrt".to_owned());
    }
    let inverse = exponent < &BigDecimal::zero();
    if base.is_zero() && inverse {
        return Err(division_by_zero());
    }
    let raised = raise(base, &exponent.abs())?;
    match inverse {
        true => Ok(root_of_ratio(&BigDecimal::one(), &raised, 1, precision)),
        false => Ok(Answer::exact(raised)),
    }
}

/// `base` to the power of `times`, a whole number that is not negative. Zero to the power of zero is one.
fn raise(base: &BigDecimal, times: &BigDecimal) -> Result<BigDecimal, String> {
    if times.is_zero() || base.is_one() {
        return Ok(BigDecimal::one());
    }
    if base.is_zero() {
        return Ok(BigDecimal::zero());
    }
    if base.abs().is_one() {
        let odd = whole_at(times, 0).bit(0);
        return Ok(if odd { base.clone() } else { BigDecimal::one() });
    }
    let times = times.to_u32().ok_or_else(too_large)?;
    let base = base.normalized();
    let (digits, scale) = base.as_bigint_and_scale();
    // 2^(bits-1) <= |digits|, so the power has at least this many decimal digits (log10 2 > 0.30102), and none of them
    // is a trailing zero. A cheap lower bound first: the power itself is then at most about twice as long.
    let at_least = u128::from(digits.bits() - 1) * u128::from(times) * 30_102 / 100_000;
    if at_least > 2 * u128::from(MAX_DIGITS) {
        return Err(too_large());
    }
    within_limits(BigDecimal::new(digits.pow(times), scale * i64::from(times)), "the result")
}

fn degree(operand: &BigDecimal) -> Result<u32, String> {
    let degree = if operand.is_integer() { operand.to_u32() } else { None };
    degree
        .filter(|degree| (1..=MAX_DEGREE).contains(degree))
        .ok_or_else(|| format!("root needs a whole degree from 1 to {MAX_DEGREE} as its second operand"))
}

fn root(operand: &BigDecimal, degree: u32, precision: u32) -> Result<Answer, String> {
    if operand < &BigDecimal::zero() && degree.is_multiple_of(2) {
        return Err("an even root of a negative number is not a real number".to_owned());
    }
    if degree * precision > MAX_ROOT_WORK {
        return Err(format!("degree times precision is more than {MAX_ROOT_WORK}: ask for fewer digits"));
    }
    Ok(root_of_ratio(operand, &BigDecimal::one(), degree, precision))
}

fn round(operand: &BigDecimal, places: &BigDecimal) -> Result<Answer, String> {
    let limit = i64::try_from(MAX_DIGITS).unwrap_or(i64::MAX);
    let places = if places.is_integer() { places.to_i64() } else { None };
    let places = places
        .filter(|places| (-limit..=limit).contains(places))
        .ok_or_else(|| format!("round needs a whole number of decimal places from -{limit} to {limit}"))?;
    let value = operand.with_scale_round(places, RoundingMode::HalfEven);
    let exact = &value == operand;
    Ok(Answer { value, exact })
}

fn refuse_zero(divisor: &BigDecimal) -> Result<(), String> {
    if divisor.is_zero() { Err(division_by_zero()) } else { Ok(()) }
}

fn division_by_zero() -> String {
    "division by zero".to_owned()
}

fn too_large() -> String {
    format!("the result is too large: it would have more than {MAX_DIGITS} digits")
}

#[cfg(test)]
mod tests;
