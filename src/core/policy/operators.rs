//! Who may look at the gateway and who may change what it holds, on the operators' side. It says nothing of calls: those
//! are `rules` and `access`; nor who may decide on an approval: that is its rule's `approvers`.

use crate::policy::document::OperatorsDocument;
use crate::principal::RoleSet;
use std::collections::BTreeSet;

/// What an operator wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// Look at the record, at jobs and approvals of the own tenant, at the catalogue, and ask what policy would say.
    Read,
    /// Besides that: accept changed definitions, cancel and requeue jobs.
    Manage,
}

/// The roles that have each power. The default gives none to anybody.
#[derive(Debug, Default)]
pub struct Operators {
    read: BTreeSet<String>,
    manage: BTreeSet<String>,
}

impl Operators {
    /// As written.
    pub(super) fn new(document: &OperatorsDocument) -> Self {
        let set = |roles: &Option<Vec<String>>| roles.iter().flatten().cloned().collect();
        Self { read: set(&document.read), manage: set(&document.manage) }
    }

    /// Whether somebody with these roles, inherited ones included, has the power. Who may manage may read.
    pub fn may(&self, roles: &RoleSet, power: Power) -> bool {
        let manages = roles.contains_any(&self.manage);
        manages || (power == Power::Read && roles.contains_any(&self.read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(names: &[&str]) -> RoleSet {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn who_may_manage_may_read_and_not_the_other_way_round() {
        let document = OperatorsDocument { read: Some(vec!["auditor".into()]), manage: Some(vec!["oncall".into()]) };
        let operators = Operators::new(&document);
        for (who, read, manage) in [
            (&["auditor"][..], true, false),
            (&["oncall"], true, true),
            (&["auditor", "oncall"], true, true),
            (&["developer"], false, false),
            (&[], false, false),
        ] {
            assert_eq!(operators.may(&roles(who), Power::Read), read, "{who:?}");
            assert_eq!(operators.may(&roles(who), Power::Manage), manage, "{who:?}");
        }
    }

    #[test]
    fn a_policy_without_operators_lets_nobody_in() {
        let nobody = Operators::default();
        assert!(!nobody.may(&roles(&["oncall"]), Power::Read) && !nobody.may(&roles(&[]), Power::Manage));
    }
}
