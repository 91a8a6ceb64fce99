//! What an expression evaluates to, as far as it can be said without evaluating it: literals, the fields that are
//! always of one type, and functions. Arguments and claims may be anything.

use crate::policy::condition::check::field_kind;
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Number,
    Text,
    Bytes,
    List,
    Map,
    Time,
    Duration,
    Type,
    Null,
    /// The result of arithmetic on unknown values: anything but a truth value.
    Computed,
}

impl Kind {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "a truth value",
            Self::Number => "a number",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Time => "a time",
            Self::Duration => "a duration",
            Self::Type => "a type",
            Self::Null => "null",
            Self::Computed => "a computed value",
        }
    }

    /// Whether a comparison of the two can be meant.
    pub fn compares_with(self, other: Self) -> bool {
        let is_computed =
            |kind| matches!(kind, Self::Number | Self::Text | Self::Bytes | Self::List | Self::Time | Self::Duration);
        self == other
            || (self == Self::Computed && is_computed(other))
            || (other == Self::Computed && is_computed(self))
    }
}

/// The type of `expression`; `None` where it depends on values. `bound` are the variables of the loops around it.
pub(super) fn kind(expression: &IdedExpr, bound: &[&str]) -> Option<Kind> {
    match &expression.expr {
        Expr::Literal(literal) => Some(literal_kind(literal)),
        Expr::List(_) => Some(Kind::List),
        Expr::Map(_) => Some(Kind::Map),
        Expr::Select(select) if select.test => Some(Kind::Bool),
        Expr::Select(select) => match &select.operand.expr {
            Expr::Ident(name) if !bound.contains(&name.as_str()) => field_kind(name, &select.field),
            _ => None,
        },
        Expr::Ident(name) => {
            let is_ours = matches!(name.as_str(), "args" | "principal" | "tool" | "request");
            (is_ours && !bound.contains(&name.as_str())).then_some(Kind::Map)
        }
        Expr::Call(call) => call_kind(call, bound),
        Expr::Comprehension(_) | Expr::Struct(_) | Expr::Unspecified => None,
    }
}

fn literal_kind(literal: &LiteralValue) -> Kind {
    match literal {
        LiteralValue::Boolean(_) => Kind::Bool,
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Kind::Number,
        LiteralValue::String(_) => Kind::Text,
        LiteralValue::Bytes(_) => Kind::Bytes,
        LiteralValue::Null => Kind::Null,
    }
}

fn call_kind(call: &CallExpr, bound: &[&str]) -> Option<Kind> {
    match call.func_name.as_str() {
        operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT | operators::IN => Some(Kind::Bool),
        operators::EQUALS | operators::NOT_EQUALS => Some(Kind::Bool),
        operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS => Some(Kind::Bool),
        "contains" | "startsWith" | "endsWith" | "matches" | "bool" => Some(Kind::Bool),
        "size" | "int" | "uint" | "double" => Some(Kind::Number),
        name if name.starts_with("get") => Some(Kind::Number),
        "string" => Some(Kind::Text),
        "bytes" => Some(Kind::Bytes),
        "timestamp" => Some(Kind::Time),
        "duration" => Some(Kind::Duration),
        "type" => Some(Kind::Type),
        operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO => {
            Some(Kind::Computed)
        }
        operators::NEGATE => Some(Kind::Computed),
        operators::CONDITIONAL => match call.args.as_slice() {
            [_, one, other] => kind(one, bound).filter(|one| Some(*one) == kind(other, bound)),
            _ => None,
        },
        _ => None,
    }
}
