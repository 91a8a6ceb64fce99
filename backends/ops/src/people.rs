//! The people of the company, none of whom exists, and the tools that show their personal data. Telephone numbers,
//! accounts and social security numbers are ones published as examples.

use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Ops, may_be_left_out, quoted};

/// Where somebody lives.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = may_be_left_out)]
struct Address {
    street: &'static str,
    postcode: &'static str,
    city: &'static str,
    country: &'static str,
}

/// What somebody earns in a year.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = may_be_left_out)]
struct Salary {
    /// Decimal text, before tax.
    amount: &'static str,
    /// ISO 4217.
    currency: &'static str,
}

/// The personnel file of one person. A field may be missing where the reader may not see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = may_be_left_out)]
struct Profile {
    employee_id: &'static str,
    name: &'static str,
    title: &'static str,
    department: &'static str,
    email: &'static str,
    phone: &'static str,
    /// The account that the salary goes to.
    iban: &'static str,
    /// Swiss social security number (AHV), of those employed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    ahv: Option<&'static str>,
    /// US social security number, of those employed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    ssn: Option<&'static str>,
    date_of_birth: &'static str,
    address: Address,
    salary: Salary,
    #[serde(skip)]
    leave: Leave,
}

/// Days of leave in a year.
#[derive(Debug)]
struct Leave {
    entitled: u32,
    taken: u32,
    booked: u32,
    sick: u32,
}

#[derive(Serialize, JsonSchema)]
struct LeaveBalance {
    /// Whose it is.
    employee_id: &'static str,
    /// Days of this year.
    entitled: u32,
    /// Days already taken.
    taken: u32,
    /// Days agreed and still to come.
    booked: u32,
    /// Days that can still be asked for.
    remaining: u32,
    /// Days of sick leave, which do not count against the others.
    sick: u32,
}

static PROFILES: [Profile; 6] = [
    Profile {
        employee_id: "E-1001",
        name: "Mira Aebischer",
        title: "Head of Platform",
        department: "engineering",
        email: "mira.aebischer@example.com",
        phone: "+41 44 668 18 00",
        iban: "CH93 0076 2011 6238 5295 7",
        ahv: Some("756.9217.0769.85"),
        ssn: None,
        date_of_birth: "1984-03-17",
        address: Address { street: "Musterweg 4", postcode: "8001", city: "Zürich", country: "CH" },
        salary: Salary { amount: "164000.00", currency: "CHF" },
        leave: Leave { entitled: 27, taken: 11, booked: 6, sick: 1 },
    },
    Profile {
        employee_id: "E-1002",
        name: "Tobias Vanderloo",
        title: "Site Reliability Engineer",
        department: "engineering",
        email: "tobias.vanderloo@example.com",
        phone: "+49 30 23125 014",
        iban: "DE89 3704 0044 0532 0130 00",
        ahv: None,
        ssn: None,
        date_of_birth: "1991-11-02",
        address: Address { street: "Musterstraße 12", postcode: "10115", city: "Berlin", country: "DE" },
        salary: Salary { amount: "88500.00", currency: "EUR" },
        leave: Leave { entitled: 30, taken: 19, booked: 0, sick: 4 },
    },
    Profile {
        employee_id: "E-1003",
        name: "Dolores Quintrell",
        title: "Payroll Accountant",
        department: "finance",
        email: "dolores.quintrell@example.com",
        phone: "+1 202-555-0143",
        iban: "GB82 WEST 1234 5698 7654 32",
        ahv: None,
        ssn: Some("219-09-9999"),
        date_of_birth: "1978-06-29",
        address: Address { street: "100 Example Avenue", postcode: "20001", city: "Washington", country: "US" },
        salary: Salary { amount: "97250.00", currency: "USD" },
        leave: Leave { entitled: 20, taken: 20, booked: 0, sick: 0 },
    },
    Profile {
        employee_id: "E-1004",
        name: "Ilse Marchetti",
        title: "Account Executive",
        department: "sales",
        email: "ilse.marchetti@example.com",
        phone: "+41 44 668 18 00",
        iban: "CH56 0483 5012 3456 7800 9",
        ahv: Some("756.1234.5678.97"),
        ssn: None,
        date_of_birth: "1995-01-08",
        address: Address { street: "Beispielgasse 9", postcode: "3011", city: "Bern", country: "CH" },
        salary: Salary { amount: "112400.00", currency: "CHF" },
        leave: Leave { entitled: 25, taken: 3, booked: 10, sick: 0 },
    },
    Profile {
        employee_id: "E-1005",
        name: "Rafe Oduya-Lindqvist",
        title: "Marketing Manager",
        department: "marketing",
        email: "rafe.oduya-lindqvist@example.com",
        phone: "+44 20 7946 0958",
        iban: "GB29 NWBK 6016 1331 9268 19",
        ahv: None,
        ssn: None,
        date_of_birth: "1988-09-21",
        address: Address { street: "1 Sample Row", postcode: "W1A 1AA", city: "London", country: "GB" },
        salary: Salary { amount: "71800.00", currency: "GBP" },
        leave: Leave { entitled: 28, taken: 14, booked: 5, sick: 2 },
    },
    Profile {
        employee_id: "E-1006",
        name: "Noor Castellane",
        title: "Warehouse Operations Lead",
        department: "operations",
        email: "noor.castellane@example.com",
        phone: "+33 1 99 00 12 34",
        iban: "FR14 2004 1010 0505 0001 3M02 606",
        ahv: None,
        ssn: None,
        date_of_birth: "1982-12-12",
        address: Address { street: "3 rue de l'Exemple", postcode: "75001", city: "Paris", country: "FR" },
        salary: Salary { amount: "59300.00", currency: "EUR" },
        leave: Leave { entitled: 30, taken: 8, booked: 12, sick: 6 },
    },
];

fn find(id: &str) -> Result<&'static Profile, String> {
    let unknown = || format!("there is no employee {}: ids run from E-1001 to E-1006", quoted(id));
    PROFILES.iter().find(|profile| profile.employee_id == id).ok_or_else(unknown)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ByEmployee {
    /// An employee's id, such as E-1001.
    #[schemars(length(min = 1, max = 20))]
    employee_id: String,
}

#[tool_router(router = people_tools, vis = "pub(crate)")]
impl Ops {
    #[tool(
        title = "Get an employee's profile",
        description = "Shows the personnel file of one person: name, title, email, telephone, bank account, social \
                       security number, date of birth, address and salary. Personal data throughout.",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn get_employee_profile(
        &self,
        Parameters(ByEmployee { employee_id }): Parameters<ByEmployee>,
    ) -> Result<Json<&'static Profile>, String> {
        find(&employee_id).map(Json)
    }

    #[tool(
        title = "Check a leave balance",
        description = "Shows how many days of leave an employee has had, has booked and has left this year.",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn check_leave_balance(
        &self,
        Parameters(ByEmployee { employee_id }): Parameters<ByEmployee>,
    ) -> Result<Json<LeaveBalance>, String> {
        let Profile { employee_id, leave, .. } = find(&employee_id)?;
        let Leave { entitled, taken, booked, sick } = *leave;
        let remaining = entitled.saturating_sub(taken + booked);
        Ok(Json(LeaveBalance { employee_id, entitled, taken, booked, remaining, sick }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ISO 7064 MOD 97-10 over the account with its first four characters moved to the end.
    fn is_iban(iban: &str) -> bool {
        let compact: String = iban.split(' ').collect();
        let (head, tail) = compact.split_at(4);
        let rest = format!("{tail}{head}").chars().fold(0, |rest, character| {
            let value = character.to_digit(36).unwrap();
            (if value > 9 { rest * 100 } else { rest * 10 } + value) % 97
        });
        rest == 1
    }

    /// The check digit of EAN-13, which the AHV number uses.
    fn is_ahv(ahv: &str) -> bool {
        let digits: Vec<u32> = ahv.chars().filter_map(|character| character.to_digit(10)).collect();
        let sum: u32 = digits.iter().enumerate().map(|(place, digit)| digit * if place % 2 == 0 { 1 } else { 3 }).sum();
        digits.len() == 13 && ahv.starts_with("756.") && sum.is_multiple_of(10)
    }

    #[test]
    fn every_example_number_passes_its_checksum_and_every_address_is_reserved() {
        for profile in &PROFILES {
            assert!(is_iban(profile.iban), "{}", profile.iban);
            assert!(profile.ahv.is_none_or(is_ahv), "{:?}", profile.ahv);
            assert!(profile.email.ends_with("@example.com"), "{}", profile.email);
        }
        assert!(!is_iban("CH93 0076 2011 6238 5295 8") && !is_ahv("756.9217.0769.84"));
    }

    #[test]
    fn nobody_has_more_leave_than_there_is() {
        for profile in &PROFILES {
            assert!(profile.leave.taken + profile.leave.booked <= profile.leave.entitled, "{}", profile.name);
        }
    }
}
