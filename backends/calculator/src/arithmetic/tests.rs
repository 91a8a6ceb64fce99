//! Tables for every operator, exactness where it is promised, and refusals where a result would be absurd.

use std::time::{Duration, Instant};

use super::*;
use crate::decimal::{self, DEFAULT_PRECISION, parse};

fn run(operator: Operator, operands: &[&str], precision: u32) -> Result<(String, bool), String> {
    let operands: Vec<BigDecimal> = operands.iter().map(|text| parse(text).unwrap()).collect();
    calculate(operator, &operands, precision).map(|answer| (decimal::text(&answer.value), answer.exact))
}

fn value(operator: Operator, operands: &[&str]) -> String {
    run(operator, operands, DEFAULT_PRECISION).unwrap().0
}

#[test]
fn every_operator_means_what_it_says() {
    let cases: &[(Operator, &[&str], &str, bool)] = &[
        (Operator::Add, &["0.1", "0.2"], "0.3", true),
        (Operator::Add, &["1", "2", "3.50", "-0.5"], "6", true),
        (Operator::Add, &["1e30", "1e-30"], "1000000000000000000000000000000.000000000000000000000000000001", true),
        (Operator::Subtract, &["1", "0.9"], "0.1", true),
        (Operator::Subtract, &["10", "1", "2"], "7", true),
        (Operator::Multiply, &["1.1", "1.1"], "1.21", true),
        (Operator::Multiply, &["-2", "3", "-0.5"], "3", true),
        (Operator::Divide, &["1", "8"], "0.125", true),
        (Operator::Divide, &["1", "3"], "0.3333333333333333333333333333333333", false),
        (Operator::IntegerDivide, &["-7", "2"], "-3", true),
        (Operator::IntegerDivide, &["0.7", "0.2"], "3", true),
        (Operator::Modulo, &["7", "3"], "1", true),
        (Operator::Modulo, &["-7", "3"], "-1", true),
        (Operator::Modulo, &["7", "-3"], "1", true),
        (Operator::Modulo, &["0.7", "0.2"], "0.1", true),
        (Operator::Modulo, &["1e20", "7"], "2", true),
        (Operator::Power, &["2", "10"], "1024", true),
        (Operator::Power, &["-1.5", "3"], "-3.375", true),
        (Operator::Power, &["2", "-3"], "0.125", true),
        (Operator::Power, &["3", "-1"], "0.3333333333333333333333333333333333", false),
        (Operator::Power, &["0", "0"], "1", true),
        (Operator::Power, &["0", "5"], "0", true),
        (Operator::Power, &["-1", "1e9999"], "1", true),
        (Operator::Power, &["-1", "100000000000000000001"], "-1", true),
        (Operator::Power, &["10", "-20"], "0.00000000000000000001", true),
        (Operator::Sqrt, &["144"], "12", true),
        (Operator::Sqrt, &["0.25"], "0.5", true),
        (Operator::Sqrt, &["0"], "0", true),
        (Operator::Root, &["-27", "3"], "-3", true),
        (Operator::Root, &["1024", "10"], "2", true),
        (Operator::Root, &["5", "1"], "5", true),
        (Operator::Absolute, &["-2.5"], "2.5", true),
        (Operator::Negate, &["2.5"], "-2.5", true),
        (Operator::Negate, &["0"], "0", true),
        (Operator::Minimum, &["3", "-1", "2"], "-1", true),
        (Operator::Maximum, &["3", "-1", "2"], "3", true),
        (Operator::Maximum, &["3"], "3", true),
        (Operator::Round, &["2.5", "0"], "2", false),
        (Operator::Round, &["3.5", "0"], "4", false),
        (Operator::Round, &["-1.2345", "2"], "-1.23", false),
        (Operator::Round, &["1250", "-2"], "1200", false),
        (Operator::Round, &["1.2", "10000"], "1.2", true),
        (Operator::Round, &["5", "-10000"], "0", false),
    ];
    for (operator, operands, expected, exact) in cases {
        assert_eq!(
            run(*operator, operands, DEFAULT_PRECISION),
            Ok(((*expected).to_owned(), *exact)),
            "{operator:?} {operands:?}"
        );
    }
}

#[test]
fn a_third_is_right_to_fifty_digits() {
    let expected = format!("0.{}", "3".repeat(50));
    assert_eq!(run(Operator::Divide, &["1", "3"], 50), Ok((expected, false)));
}

#[test]
fn the_square_root_of_two_is_right_to_forty_digits() {
    // ...80785696718..., so that the fortieth digit is rounded up and a zero goes.
    let forty = "1.41421356237309504880168872420969807857";
    assert_eq!(run(Operator::Sqrt, &["2"], 40), Ok((forty.to_owned(), false)));
    let forty_one = "1.4142135623730950488016887242096980785697";
    assert_eq!(run(Operator::Sqrt, &["2"], 41), Ok((forty_one.to_owned(), false)));
    let square = value(Operator::Multiply, &[forty_one, forty_one]);
    assert!(square.starts_with("2.0000000000000000000000000000000000000"), "{square}");
}

#[test]
fn two_to_the_thousandth_has_all_its_digits() {
    let result = value(Operator::Power, &["2", "1000"]);
    assert_eq!(result.len(), 302);
    assert!(result.starts_with("10715086071862673209484250490600018105614048117055"));
    assert!(result.ends_with("429831652624386837205668069376"));
    let doubled: Vec<&str> = std::iter::repeat_n("1024", 100).collect();
    assert_eq!(value(Operator::Multiply, &doubled), result);
}

#[test]
fn a_quotient_times_its_divisor_and_the_rest_make_the_dividend() {
    for (top, bottom) in [("123456.789", "0.037"), ("-1e50", "7.3"), ("5", "-1e-9"), ("-9.99", "-3.1")] {
        let quotient = value(Operator::IntegerDivide, &[top, bottom]);
        let rest = value(Operator::Modulo, &[top, bottom]);
        let product = value(Operator::Multiply, &[&quotient, bottom]);
        assert_eq!(value(Operator::Add, &[&product, &rest]), value(Operator::Add, &[top, "0"]));
    }
}

#[test]
fn what_has_no_result_is_refused_in_plain_words() {
    let cases: &[(Operator, &[&str], &str)] = &[
        (Operator::Divide, &["1", "0"], "division by zero"),
        (Operator::Divide, &["0", "0.00"], "division by zero"),
        (Operator::Modulo, &["1", "0"], "division by zero"),
        (Operator::IntegerDivide, &["1", "0"], "division by zero"),
        (Operator::Power, &["0", "-1"], "division by zero"),
        (Operator::Power, &["2", "0.5"], "whole exponent"),
        (Operator::Sqrt, &["-4"], "not a real number"),
        (Operator::Root, &["-4", "2"], "not a real number"),
        (Operator::Root, &["4", "0"], "whole degree"),
        (Operator::Root, &["4", "2.5"], "whole degree"),
        (Operator::Root, &["4", "101"], "whole degree"),
        (Operator::Round, &["4", "0.5"], "decimal places"),
        (Operator::Round, &["4", "10001"], "decimal places"),
        (Operator::Add, &[], "needs operands"),
        (Operator::Add, &["1"], "at least two"),
        (Operator::Divide, &["1"], "two operands, got one"),
        (Operator::Divide, &["1", "2", "3"], "two operands, got 3"),
        (Operator::Sqrt, &["1", "2"], "one operand, got 2"),
    ];
    for (operator, operands, expected) in cases {
        let problem = run(*operator, operands, DEFAULT_PRECISION).unwrap_err();
        assert!(problem.contains(expected), "{operator:?} {operands:?}: {problem}");
    }
    let many = vec!["1"; MAX_OPERANDS + 1];
    assert!(run(Operator::Add, &many, 34).unwrap_err().contains("too many"));
}

#[test]
fn absurd_results_are_refused_at_once() {
    let nines = "9".repeat(9_000);
    let started = Instant::now();
    let cases: &[(Operator, &[&str], u32)] = &[
        (Operator::Power, &["9", "999999999999"], 34),
        (Operator::Power, &["2", "4000000000"], 34),
        (Operator::Power, &["10", "4294967295"], 34),
        (Operator::Power, &["0.1", "4294967295"], 34),
        (Operator::Power, &["1.000000001", "4294967295"], 34),
        (Operator::Power, &[&nines, "3"], 34),
        (Operator::Power, &["2", "-999999999"], 34),
        (Operator::Multiply, &[&nines, &nines], 34),
        (Operator::Divide, &["1e-9999", "1e9999"], 34),
        (Operator::Root, &["2", "100"], 1000),
    ];
    for (operator, operands, precision) in cases {
        let problem = run(*operator, operands, *precision).unwrap_err();
        assert!(problem.contains("too") || problem.contains("fewer digits"), "{operator:?}: {problem}");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn the_largest_allowed_work_is_done_in_a_moment() {
    let (large, fine) = ("9".repeat(10_000), format!("0.{}", "7".repeat(10_000)));
    let started = Instant::now();
    for (operator, operands, precision) in [
        (Operator::Add, vec![large.as_str(), fine.as_str()], 34),
        (Operator::Divide, vec![fine.as_str(), large.as_str()], 1000),
        (Operator::Modulo, vec![large.as_str(), fine.as_str()], 34),
        (Operator::Sqrt, vec![large.as_str()], 1000),
        (Operator::Root, vec![large.as_str(), "100"], 200),
        (Operator::Root, vec![large.as_str(), "20"], 1000),
        (Operator::Power, vec!["2", "33219"], 34),
    ] {
        // Either answer is fine; the time is the point.
        drop(run(operator, &operands, precision));
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
