//! What a client is told whose call waits for people, or was turned down by them.

use super::State;
use std::borrow::Cow;

/// Why a call that needs an approval does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// People are asked.
    Pending(Invitation),
    /// Somebody refused; in their words, where they said why.
    Denied {
        /// The approval.
        id: String,
        /// Why.
        reason: Option<String>,
    },
    /// The approval that the client brought is over.
    Over(State),
    /// The client brought an approval of another call.
    Mismatch,
    /// Those who agreed may not any more.
    ApproversLost,
    /// The caller has as many pending approvals as they may have.
    TooMany,
    /// The arguments are too large for a person to read.
    Unreadable,
    /// The preview that must be shown can't be had.
    NoPreview,
    /// Approvals can't be kept now.
    Unavailable,
    /// The client left while people were asked.
    Left,
}

/// Where people decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The approval.
    pub id: String,
    /// The page on which it is decided.
    pub link: String,
    /// Who may decide.
    pub approvers: Vec<String>,
    /// How the client can take it.
    pub way: Way,
}

/// How a client is told to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By a result for the model to read.
    Result,
    /// By a result that asks to open a page, and gives out this state to bring back (MCP 2026-07-28 "Multi Round-Trip
    /// Requests").
    Input(String),
    /// By the error that asks to open a page (MCP 2025-11-25 "URL Elicitation Required Error").
    Page,
}

impl Told {
    /// HTTP status, JSON-RPC code and label.
    pub const fn row(&self) -> (u16, i32, &'static str) {
        match self {
            Self::Pending(_) => (200, -31410, "needs_approval"),
            Self::Denied { .. } => (200, -31403, "approval_denied"),
            Self::Over(State::Redeemed) => (409, -31409, "approval_used"),
            Self::Over(State::Withdrawn) => (410, -31410, "approval_withdrawn"),
            Self::Over(_) => (410, -31410, "approval_expired"),
            Self::Mismatch => (409, -31409, "approval_mismatch"),
            Self::ApproversLost => (409, -31409, "approvers_lost"),
            Self::TooMany => (429, -31429, "too_many_approvals"),
            Self::Unreadable => (413, -31413, "approval_unreadable"),
            Self::NoPreview => (200, -31410, "approval_without_preview"),
            Self::Unavailable => (503, -31503, "approvals_unavailable"),
            Self::Left => (408, -31408, "client_gone"),
        }
    }

    /// Whether a model reads it as the result of its call.
    pub const fn is_result(&self) -> bool {
        matches!(self, Self::Pending(_) | Self::Denied { .. } | Self::NoPreview)
    }

    /// What the caller reads.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Pending(invitation) => invitation.text().into(),
            Self::Denied { id, reason } => {
                let reason = reason.as_deref().unwrap_or("no reason was given");
                format!("A person refused this call (approval {id}): {reason}").into()
            }
            Self::Over(State::Redeemed) => "This approval was used; each is good for one call".into(),
            Self::Over(State::Withdrawn) => "This approval was withdrawn; call again to ask anew".into(),
            Self::Over(_) => "This approval has expired; call again to ask anew".into(),
            Self::Mismatch => "This approval is for another call".into(),
            Self::ApproversLost => "Those who approved this call may not do so any more; call again to ask anew".into(),
            Self::TooMany => "Too many of your calls wait for approval; wait until some are decided".into(),
            Self::Unreadable => "The arguments are too large for a person to approve".into(),
            Self::NoPreview => {
                "This call needs a preview to be approved, and the preview failed; it was not run".into()
            }
            Self::Left => "You left while people were asked; make the same call again".into(),
            Self::Unavailable => "Approvals can't be asked for now, so the call was not run; try again later".into(),
        }
    }
}

impl Invitation {
    /// What the caller reads whose call goes on by itself.
    pub fn text_of_task(&self) -> String {
        let Self { id, link, .. } = self;
        let who = self.who();
        format!(
            "This call needs the approval of a person{who} and has not run yet. Approval {id} is decided at {link}; the call \
             runs by itself once it is approved."
        )
    }

    fn who(&self) -> String {
        if self.approvers.is_empty() { String::new() } else { format!(" ({})", self.approvers.join(", ")) }
    }

    fn text(&self) -> String {
        let Self { id, link, .. } = self;
        let who = self.who();
        format!(
            "This call needs the approval of a person{who} and was not run. Approval {id} is decided at {link}. \
             Once it is approved, make the same call again with the same arguments."
        )
    }
}
