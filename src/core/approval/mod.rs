//! What a person is asked to agree to, and what became of it. States change by functions that give the next record or the
//! reason why not; who keeps the records, and sees to it that each change is made once, is the business of others.
//!
//! An approval is pending until enough people agreed, one refused, its time ran out, or it was taken back. An approved one
//! is redeemed by one call, once; until then it can still expire or be taken back.

mod canonical;
mod change;
mod record;
mod told;

#[cfg(test)]
mod tests;

pub use canonical::canonical;
pub use change::{Expected, Redeemed, Redemption, Refusal, Voter, carry_on, expire, redeem, stands, vote, withdraw};
pub use record::{Approval, Closing, Demand, Matter, Requester, State, Terms, Verdict, Vote, approvers};
pub use told::{Invitation, Told, Way};
