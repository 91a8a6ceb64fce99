//! What is counted of people who look after the gateway, and of ids that are nobody's.

use super::Metrics;
use super::declare::Declare;
use prometheus::IntCounterVec;

/// Who names an id, as labels.
const SIDES: [&str; 2] = ["caller", "operator"];

/// What came of a login, as labels.
const LOGINS: [&str; 3] = ["ok", "refused", "unavailable"];

pub(super) struct Operators {
    logins: IntCounterVec,
    wrong_ids: IntCounterVec,
}

impl Operators {
    pub(super) fn new(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            logins: declare.counters(
                "portcullis_logins_total",
                "Logins to the console: ok, refused, or unavailable where issuer or record can't be had.",
                &["result"],
            )?,
            wrong_ids: declare.counters(
                "portcullis_wrong_ids_total",
                "Ids of approvals and jobs that are not of whoever names them, a caller or an operator; and requests that were \
                 refused unseen because there were too many: unknown or refused.",
                &["side", "result"],
            )?,
        })
    }

    pub(super) fn begin_at_zero(&self) {
        for result in LOGINS {
            self.logins.with_label_values(&[result]);
        }
        for side in SIDES {
            for result in ["unknown", "refused"] {
                self.wrong_ids.with_label_values(&[side, result]);
            }
        }
    }
}

impl Metrics {
    /// Somebody logged in to the console, or was not let in.
    pub fn login(&self, result: &'static str) {
        self.operators.logins.with_label_values(&[result]).inc();
    }

    /// Somebody on this `side`, `caller` or `operator`, named an id that is not theirs; or, where `refused`, may name none
    /// now.
    pub fn wrong_id(&self, side: &'static str, refused: bool) {
        let result = if refused { "refused" } else { "unknown" };
        self.operators.wrong_ids.with_label_values(&[side, result]).inc();
    }
}
