//! The text of the budget variance report. The figures are invented by arithmetic on the department, the quarter and the
//! line, so that the same report always reads the same and its columns add up.

use std::fmt::Write;

use crate::quoted;

/// A department: its name, who answers for it, and what it spends per month in whole francs, as a scale for its lines.
struct Department {
    name: &'static str,
    owner: &'static str,
    email: &'static str,
    phone: &'static str,
    scale: i64,
}

const fn department(
    name: &'static str,
    owner: &'static str,
    email: &'static str,
    phone: &'static str,
    scale: i64,
) -> Department {
    Department { name, owner, email, phone, scale }
}

static DEPARTMENTS: [Department; 5] = [
    department("engineering", "Mira Aebischer", "mira.aebischer@example.com", "+41 44 668 18 00", 41_300),
    department("finance", "Dolores Quintrell", "dolores.quintrell@example.com", "+1 202-555-0143", 12_900),
    department("marketing", "Rafe Oduya-Lindqvist", "rafe.oduya-lindqvist@example.com", "+44 20 7946 0958", 23_700),
    department("operations", "Noor Castellane", "noor.castellane@example.com", "+33 1 99 00 12 34", 36_100),
    department("sales", "Ilse Marchetti", "ilse.marchetti@example.com", "+41 44 668 18 00", 28_500),
];

const LINES: [&str; 12] = [
    "Salaries",
    "Social security",
    "Contractors",
    "Recruiting",
    "Training",
    "Travel",
    "Software licences",
    "Cloud",
    "Hardware",
    "Rent and energy",
    "Insurance",
    "Other",
];

/// Budget and actual of one line and month, in whole francs.
#[derive(Clone, Copy, Default)]
struct Figures {
    budget: i64,
    actual: i64,
}

impl Figures {
    fn plus(self, other: Self) -> Self {
        Self { budget: self.budget + other.budget, actual: self.actual + other.actual }
    }

    fn variance(self) -> i64 {
        self.actual - self.budget
    }

    /// The variance in tenths of a per cent of the budget.
    fn per_mille(self) -> i64 {
        (self.variance() * 1000).checked_div(self.budget).unwrap_or(0)
    }

    fn columns(self) -> String {
        let per_mille = self.per_mille();
        let sign = if per_mille < 0 { '-' } else { '+' };
        let (whole, tenth) = (per_mille.abs() / 10, per_mille.abs() % 10);
        format!("{:>10} {:>10} {:>+9}  {sign}{whole}.{tenth} %", self.budget, self.actual, self.variance())
    }
}

/// Writes the report.
///
/// # Errors
/// Says which departments and quarters there are when it is asked for another.
pub(super) fn write(department: &str, quarter: &str) -> Result<String, String> {
    let names = DEPARTMENTS.each_ref().map(|known| known.name).join(", ");
    let known = DEPARTMENTS
        .iter()
        .find(|known| known.name == department)
        .ok_or_else(|| format!("there is no department {}; there are {names}", quoted(department)))?;
    let number = quarter_number(quarter)
        .ok_or_else(|| format!("no figures for {}: quarters run from 2025-Q1 to 2026-Q4", quoted(quarter)))?;
    let mut text = String::new();
    // Writing to a String cannot fail, but its trait says that it might.
    render(&mut text, known, quarter, number).map_err(|_| "the report could not be written".to_owned())?;
    Ok(text)
}

/// 0 for 2025-Q1, 7 for 2026-Q4.
fn quarter_number(quarter: &str) -> Option<i64> {
    let (year, quarter) = quarter.split_once("-Q")?;
    let year = match year {
        "2025" => 0,
        "2026" => 4,
        _ => return None,
    };
    match quarter {
        "1" => Some(year),
        "2" => Some(year + 1),
        "3" => Some(year + 2),
        "4" => Some(year + 3),
        _ => None,
    }
}

fn render(text: &mut String, department: &Department, quarter: &str, number: i64) -> std::fmt::Result {
    writeln!(text, "MERIDIAN FREIGHT - BUDGET VARIANCE REPORT")?;
    writeln!(text, "Department: {}   Quarter: {quarter}   Currency: CHF, whole francs", department.name)?;
    writeln!(text, "Answers for it: {} <{}>, {}\n", department.owner, department.email, department.phone)?;
    let mut quarter_total = Figures::default();
    let mut worst = ("nothing", Figures::default());
    for month in 0..3 {
        writeln!(text, "Month {}", number % 4 * 3 + month + 1)?;
        writeln!(text, "  {:<20} {:>10} {:>10} {:>9}  in %", "line", "budget", "actual", "variance")?;
        let mut total = Figures::default();
        for (line, name) in (0..).zip(LINES) {
            let figures = invent(department.scale, number * 3 + month, line);
            writeln!(text, "  {name:<20} {}", figures.columns())?;
            total = total.plus(figures);
            if figures.variance() > worst.1.variance() {
                worst = (name, figures);
            }
        }
        writeln!(text, "  {:<20} {}\n", "Total", total.columns())?;
        quarter_total = quarter_total.plus(total);
    }
    writeln!(text, "QUARTER {:<14} {}\n", quarter, quarter_total.columns())?;
    comment(text, department, worst)
}

fn comment(text: &mut String, department: &Department, worst: (&str, Figures)) -> std::fmt::Result {
    writeln!(text, "Comments")?;
    writeln!(
        text,
        "  1. The largest overrun of a single month is {} ({:+} CHF). {} asks that questions go to {} and not to the team.",
        worst.0,
        worst.1.variance(),
        department.owner,
        department.email
    )?;
    writeln!(
        text,
        "  2. Two expense claims were paid to CH93 0076 2011 6238 5295 7 by mistake and came back within the quarter; the \
         payroll desk can be reached on +1 202-555-0143."
    )?;
    writeln!(
        text,
        "  3. The department's purchasing card 4111 1111 1111 1111 was replaced after it had been copied into a ticket."
    )?;
    writeln!(text, "  4. Figures are final. The next report follows ten working days after the end of the quarter.")
}

/// A budget that grows by half a per cent each month and an actual that strays from it by up to nine per cent.
fn invent(scale: i64, month: i64, line: i64) -> Figures {
    let weight = match line {
        0 => 40,
        1 => 8,
        line => 1 + line * 5 % 7,
    };
    let budget = scale * weight * (200 + month) / 2_000;
    let stray = (scale + month * 37 + line * 53) * 7_919 % 181 - 90;
    Figures { budget, actual: budget + budget * stray / 1_000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_report_always_reads_the_same_and_is_long() {
        let report = write("engineering", "2026-Q1").unwrap();
        assert_eq!(report, write("engineering", "2026-Q1").unwrap());
        assert_ne!(report, write("engineering", "2026-Q2").unwrap());
        assert!(report.lines().count() > 50 && report.len() > 2_500, "{report}");
        assert!(report.contains("mira.aebischer@example.com"));
    }

    #[test]
    fn the_totals_add_up() {
        let report = write("sales", "2025-Q4").unwrap();
        let budget = |line: &str| line.split_whitespace().rev().nth(4).unwrap().parse::<i64>().unwrap();
        let months: i64 = report.lines().filter(|line| line.starts_with("  Total")).map(budget).sum();
        let quarter = report.lines().find(|line| line.starts_with("QUARTER")).map(budget).unwrap();
        assert_eq!(months, quarter);
    }

    #[test]
    fn other_departments_and_quarters_are_refused_with_those_there_are() {
        assert!(write("legal", "2026-Q1").unwrap_err().contains("engineering, finance"));
        for quarter in ["2024-Q4", "2026-Q5", "2026-Q0", "2026", "Q1", "2026-Q11"] {
            assert!(write("sales", quarter).unwrap_err().contains("2025-Q1 to 2026-Q4"), "{quarter}");
        }
    }
}
