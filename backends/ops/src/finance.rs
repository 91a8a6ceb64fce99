//! Invoices with the cards and accounts that pay them, and the tool around the budget report. The card numbers are the
//! test numbers of the card schemes.

use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Ops, may_be_left_out, quoted, report};

/// Where an invoice stands.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Open,
    Paid,
    Overdue,
    Disputed,
}

/// The card an invoice is paid with.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = may_be_left_out)]
struct Card {
    brand: &'static str,
    number: &'static str,
    holder: &'static str,
    expires: &'static str,
}

/// An invoice. A field may be missing where the reader may not see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = may_be_left_out)]
struct Invoice {
    invoice_id: &'static str,
    customer_id: &'static str,
    status: Status,
    /// Decimal text.
    amount: &'static str,
    /// ISO 4217.
    currency: &'static str,
    issued: &'static str,
    due: &'static str,
    /// Who is asked about it.
    contact_email: &'static str,
    /// The card that is charged, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<Card>,
    /// The account that it is collected from or paid back to.
    iban: &'static str,
    note: &'static str,
}

static INVOICES: [Invoice; 5] = [
    Invoice {
        invoice_id: "INV-2026-0041",
        customer_id: "C-2001",
        status: Status::Paid,
        amount: "18240.50",
        currency: "CHF",
        issued: "2026-01-12",
        due: "2026-02-11",
        contact_email: "accounts@alpenquell.example.com",
        card: Some(Card {
            brand: "Visa",
            number: "4111 1111 1111 1111",
            holder: "Salome Brandhuber",
            expires: "08/29",
        }),
        iban: "CH93 0076 2011 6238 5295 7",
        note: "Charged in full on 2026-01-30.",
    },
    Invoice {
        invoice_id: "INV-2026-0042",
        customer_id: "C-2002",
        status: Status::Overdue,
        amount: "4310.00",
        currency: "EUR",
        issued: "2026-02-03",
        due: "2026-03-05",
        contact_email: "buchhaltung@nordlicht.example.com",
        card: None,
        iban: "DE89 3704 0044 0532 0130 00",
        note: "Second reminder sent; call Henrike Osswald on +49 30 23125 018 before the third.",
    },
    Invoice {
        invoice_id: "INV-2026-0043",
        customer_id: "C-2003",
        status: Status::Open,
        amount: "99.95",
        currency: "GBP",
        issued: "2026-03-18",
        due: "2026-04-17",
        contact_email: "payables@thamesend.example.com",
        card: Some(Card {
            brand: "Mastercard",
            number: "5555 5555 5555 4444",
            holder: "Percival Ashgrove",
            expires: "11/27",
        }),
        iban: "GB29 NWBK 6016 1331 9268 19",
        note: "Will be charged on the due date.",
    },
    Invoice {
        invoice_id: "INV-2026-0044",
        customer_id: "C-2004",
        status: Status::Disputed,
        amount: "27750.00",
        currency: "USD",
        issued: "2026-03-21",
        due: "2026-04-20",
        contact_email: "ap@cascadia-mills.example.com",
        card: Some(Card {
            brand: "American Express",
            number: "3782 822463 10005",
            holder: "Winifred Okonjo",
            expires: "02/28",
        }),
        iban: "GB82 WEST 1234 5698 7654 32",
        note: "Customer claims 3 pallets were damaged; see their mail from claims@cascadia-mills.example.com.",
    },
    Invoice {
        invoice_id: "INV-2026-0045",
        customer_id: "C-2001",
        status: Status::Open,
        amount: "6075.20",
        currency: "CHF",
        issued: "2026-04-02",
        due: "2026-05-02",
        contact_email: "accounts@alpenquell.example.com",
        card: None,
        iban: "CH93 0076 2011 6238 5295 7",
        note: "Direct debit agreed.",
    },
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ByInvoice {
    /// An invoice's id, such as INV-2026-0041.
    #[schemars(length(min = 1, max = 20))]
    invoice_id: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReportRequest {
    /// The department: engineering, finance, marketing, operations or sales.
    #[schemars(length(min = 1, max = 40))]
    department: String,
    /// The quarter, such as 2026-Q1; 2025 and 2026 are on file.
    #[schemars(regex(pattern = "^20[0-9]{2}-Q[1-4]$"))]
    quarter: String,
}

#[tool_router(router = finance_tools, vis = "pub(crate)")]
impl Ops {
    #[tool(
        title = "Get the status of an invoice",
        description = "Shows an invoice: status, amount, dates, whom to ask, and the card and account it is paid from.",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn get_invoice_status(
        &self,
        Parameters(ByInvoice { invoice_id }): Parameters<ByInvoice>,
    ) -> Result<Json<&'static Invoice>, String> {
        let unknown = || format!("there is no invoice {}: they run from INV-2026-0041 to 0045", quoted(&invoice_id));
        INVOICES.iter().find(|invoice| invoice.invoice_id == invoice_id).map(Json).ok_or_else(unknown)
    }

    #[tool(
        title = "Run a budget variance report",
        description = "Writes the budget variance report of a department and quarter: several pages of plain text with \
                       every cost line by month, comments, and whom to ask.",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn run_budget_variance_report(
        &self,
        Parameters(ReportRequest { department, quarter }): Parameters<ReportRequest>,
    ) -> Result<String, String> {
        report::write(&department, &quarter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ISO/IEC 7812-1, annex B.
    fn passes_luhn(number: &str) -> bool {
        let digits = number.chars().rev().filter_map(|character| character.to_digit(10));
        let sum: u32 = digits
            .enumerate()
            .map(|(place, digit)| if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 })
            .sum();
        sum.is_multiple_of(10)
    }

    #[test]
    fn every_card_passes_its_checksum_and_every_mailbox_is_reserved() {
        for invoice in &INVOICES {
            assert!(invoice.card.as_ref().is_none_or(|card| passes_luhn(card.number)), "{invoice:?}");
            assert!(invoice.contact_email.ends_with(".example.com"), "{invoice:?}");
        }
        assert!(!passes_luhn("4111 1111 1111 1112"));
    }
}
