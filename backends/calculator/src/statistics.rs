//! What `statistics` says about a list of numbers. Sums stay whole to the end, so that a mean, a variance or a deviation
//! is rounded once and is right to its last digit, whatever the order and the size of the values.

use bigdecimal::BigDecimal;
use bigdecimal::num_traits::{One, Zero};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decimal::{self, Answer, root_of_ratio, within_limits};

/// The most values one call takes.
pub const MAX_VALUES: usize = 5_000;

/// The most digits of a value here, before and after its point: less than elsewhere, because all of them are squared.
const MAX_VALUE_DIGITS: i64 = 1_000;

/// One figure about the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// How many values there are.
    Count,
    /// Their sum.
    Sum,
    /// Their arithmetic mean.
    Mean,
    /// The middle value; of an even number of values, the mean of the two in the middle.
    Median,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The sample variance (divided by count - 1); needs two values.
    Variance,
    /// The sample standard deviation; needs two values.
    Stddev,
    /// The variance of the values as a whole population (divided by count).
    PopulationVariance,
    /// The standard deviation of the values as a whole population.
    PopulationStddev,
}

const ALL: [Measure; 10] = [
    Measure::Count,
    Measure::Sum,
    Measure::Mean,
    Measure::Median,
    Measure::Min,
    Measure::Max,
    Measure::Variance,
    Measure::Stddev,
    Measure::PopulationVariance,
    Measure::PopulationStddev,
];

/// The measures asked for, each as decimal text.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    /// How many values there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<String>,
    /// Their sum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<String>,
    /// Their arithmetic mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<String>,
    /// The middle value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median: Option<String>,
    /// The smallest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// The largest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// The sample variance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variance: Option<String>,
    /// The sample standard deviation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stddev: Option<String>,
    /// The variance of the population.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub population_variance: Option<String>,
    /// The standard deviation of the population.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub population_stddev: Option<String>,
    /// The measures above that are rounded to the precision; all others are exact.
    pub rounded: Vec<Measure>,
}

/// Works out `measures` of `values`; no measures means all that exist for that many values.
///
/// # Errors
/// Says in plain words what is wrong: no values, too many, one that is too long, or one value where two are needed.
pub fn summarise(values: &[BigDecimal], measures: &[Measure], precision: u32) -> Result<Summary, String> {
    let sample = Sample::new(values)?;
    let wanted = match measures {
        [] => ALL.into_iter().filter(|measure| values.len() > 1 || !measure.needs_two()).collect(),
        _ => measures.to_vec(),
    };
    let mut summary = Summary::default();
    for measure in wanted {
        // Asked for again: the work is done once.
        if summary.slot(measure).is_some() {
            continue;
        }
        let answer = sample.measure(measure, precision)?;
        let value = within_limits(answer.value, "the result")?;
        *summary.slot(measure) = Some(decimal::text(&value));
        if !answer.exact {
            summary.rounded.push(measure);
        }
    }
    Ok(summary)
}

impl Measure {
    fn needs_two(self) -> bool {
        matches!(self, Self::Variance | Self::Stddev)
    }
}

impl Summary {
    fn slot(&mut self, measure: Measure) -> &mut Option<String> {
        match measure {
            Measure::Count => &mut self.count,
            Measure::Sum => &mut self.sum,
            Measure::Mean => &mut self.mean,
            Measure::Median => &mut self.median,
            Measure::Min => &mut self.min,
            Measure::Max => &mut self.max,
            Measure::Variance => &mut self.variance,
            Measure::Stddev => &mut self.stddev,
            Measure::PopulationVariance => &mut self.population_variance,
            Measure::PopulationStddev => &mut self.population_stddev,
        }
    }
}

/// At least one value, sorted, with what all measures need.
struct Sample {
    sorted: Vec<BigDecimal>,
    count: BigDecimal,
    sum: BigDecimal,
}

impl Sample {
    fn new(values: &[BigDecimal]) -> Result<Self, String> {
        if values.is_empty() {
            return Err("there are no values: give at least one".to_owned());
        }
        if values.len() > MAX_VALUES {
            return Err(format!("{} values are too many: at most {MAX_VALUES} are taken", values.len()));
        }
        if let Some(position) = values.iter().position(is_too_long) {
            return Err(format!(
                "value {} is too long: at most {MAX_VALUE_DIGITS} digits before and after the point are taken here",
                position + 1
            ));
        }
        let mut sorted = values.to_vec();
        sorted.sort();
        let count = BigDecimal::from(u64::try_from(values.len()).unwrap_or(u64::MAX));
        Ok(Self { sum: values.iter().sum(), sorted, count })
    }

    fn measure(&self, measure: Measure, precision: u32) -> Result<Answer, String> {
        let one = BigDecimal::one();
        match measure {
            Measure::Count => Ok(Answer::exact(self.count.clone())),
            Measure::Sum => Ok(Answer::exact(self.sum.clone())),
            Measure::Mean => Ok(root_of_ratio(&self.sum, &self.count, 1, precision)),
            Measure::Median => Ok(Answer::exact(self.median())),
            Measure::Min => Ok(Answer::exact(self.at(0))),
            Measure::Max => Ok(Answer::exact(self.at(self.sorted.len() - 1))),
            Measure::PopulationVariance => Ok(self.spread(&self.count, 1, precision)),
            Measure::PopulationStddev => Ok(self.spread(&self.count, 2, precision)),
            Measure::Variance | Measure::Stddev if self.sorted.len() < 2 => {
                Err("the sample variance and standard deviation need at least two values".to_owned())
            }
            Measure::Variance => Ok(self.spread(&(&self.count - one), 1, precision)),
            Measure::Stddev => Ok(self.spread(&(&self.count - one), 2, precision)),
        }
    }

    fn at(&self, position: usize) -> BigDecimal {
        self.sorted.get(position).cloned().unwrap_or_default()
    }

    fn median(&self) -> BigDecimal {
        let middle = self.sorted.len() / 2;
        match self.sorted.len() % 2 {
            1 => self.at(middle),
            // A half is 5 tenths: exact, with no division.
            _ => (self.at(middle - 1) + self.at(middle)) * BigDecimal::new(5.into(), 1),
        }
    }

    /// The `degree`th root of Σ(x - mean)² / `divisor`, as (n·Σx² - (Σx)²) / (n · divisor): no mean, so no rounding.
    fn spread(&self, divisor: &BigDecimal, degree: u32, precision: u32) -> Answer {
        let squares: BigDecimal = self.sorted.iter().map(BigDecimal::square).sum();
        let numerator = &self.count * squares - self.sum.square();
        if numerator.is_zero() {
            return Answer::exact(BigDecimal::zero());
        }
        root_of_ratio(&numerator, &(&self.count * divisor), degree, precision)
    }
}

fn is_too_long(value: &BigDecimal) -> bool {
    let places = value.fractional_digit_count();
    let whole = i64::try_from(value.digits()).unwrap_or(i64::MAX).saturating_sub(places);
    places > MAX_VALUE_DIGITS || whole > MAX_VALUE_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::parse;

    fn run(values: &[&str], measures: &[Measure], precision: u32) -> Result<Summary, String> {
        let values: Vec<BigDecimal> = values.iter().map(|text| parse(text).unwrap()).collect();
        summarise(&values, measures, precision)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn all_measures_of_a_known_sample() {
        let expected = Summary {
            count: some("8"),
            sum: some("40"),
            mean: some("5"),
            median: some("4.5"),
            min: some("2"),
            max: some("9"),
            variance: some("4.571428571"),
            stddev: some("2.138089935"),
            population_variance: some("4"),
            population_stddev: some("2"),
            rounded: vec![Measure::Variance, Measure::Stddev],
        };
        assert_eq!(run(&["9", "2", "4", "4", "7", "5", "4", "5"], &[], 10), Ok(expected));
    }

    #[test]
    fn nothing_is_lost_to_cancellation() {
        // With 64-bit floats the textbook formula gives 0 or a negative number here.
        let values = ["1000000000000000000004", "1000000000000000000007", "1000000000000000000013"];
        let summary = run(&values, &[Measure::Variance, Measure::Mean], 34).unwrap();
        assert_eq!(summary.variance, some("21"));
        assert_eq!(summary.mean, some("1000000000000000000008"));
        let tenths = run(&["0.1"; 10], &[Measure::Sum, Measure::Stddev], 34).unwrap();
        assert_eq!((tenths.sum, tenths.stddev, tenths.rounded), (some("1"), some("0"), vec![]));
    }

    #[test]
    fn one_value_has_no_sample_variance() {
        let summary = run(&["3"], &[], 34).unwrap();
        assert_eq!((summary.variance, summary.population_variance), (None, some("0")));
        assert!(run(&["3"], &[Measure::Stddev], 34).unwrap_err().contains("at least two"));
    }

    #[test]
    fn only_the_measures_asked_for_are_given_and_asking_twice_is_no_matter() {
        let summary = run(&["1", "1", "2"], &[Measure::Mean; 100_000], 3).unwrap();
        assert_eq!(summary, Summary { mean: some("1.33"), rounded: vec![Measure::Mean], ..Summary::default() });
    }

    #[test]
    fn the_largest_allowed_work_is_done_in_a_moment() {
        let mixed: Vec<&str> = ["9e-1000", "9e999"].into_iter().cycle().take(MAX_VALUES).collect();
        let started = std::time::Instant::now();
        run(&mixed, &[], 1000).unwrap();
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
    }

    #[test]
    fn too_few_too_many_and_too_long_values_are_refused() {
        assert!(run(&[], &[], 34).unwrap_err().contains("no values"));
        assert!(run(&["1"; MAX_VALUES + 1], &[], 34).unwrap_err().contains("too many"));
        assert!(run(&["1", "1e1000"], &[], 34).unwrap_err().contains("value 2 is too long"));
        assert!(run(&["1e-1001"], &[], 34).unwrap_err().contains("value 1 is too long"));
    }
}
