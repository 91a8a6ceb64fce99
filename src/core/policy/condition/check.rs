//! What can be found wrong with an expression before it meets a value: unknown variables, fields and functions,
//! patterns that are none, operands and results that can't be truth values, loops too deep.
//!
//! `cel` has no type checker; this finds what does not depend on arguments and claims. What it can't find is a fault
//! when the rule is asked.

use crate::policy::condition::kind::{Kind, kind};
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::{IdedExpr, ParseError, Program};
use std::collections::BTreeSet;

/// The longest expression, in bytes.
const SOURCE_BYTES: usize = 4096;
/// The most characters that may be operators or open brackets. The parser and the interpreter recurse once for each of
/// a chain, on a stack of 2 MiB in the worst case; 1,000 fit, 2,000 do not.
const OPERATORS: usize = 512;
/// How deep an expression may nest.
const DEPTH: usize = 128;
/// How many loops (`all`, `exists`, `map`, `filter`, ...) may be inside one another.
const NESTING: usize = 2;

/// Types, for `type(args.a) == int`.
const TYPE_NAMES: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// The functions of the standard library that conditions may call, operators aside.
pub(super) const FUNCTIONS: [&str; 26] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
    "uint",
    "@not_strictly_false",
];

/// A variable beside `args`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Variable {
    Principal,
    Tool,
    Request,
}

impl Variable {
    const ALL: [Self; 3] = [Self::Principal, Self::Tool, Self::Request];

    /// As expressions write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Tool => "tool",
            Self::Request => "request",
        }
    }

    /// Its fields, with their types; `None` for one that may be null.
    fn fields(self) -> &'static [(&'static str, Option<Kind>)] {
        const TEXT: Option<Kind> = Some(Kind::Text);
        match self {
            Self::Principal => &[
                ("issuer", TEXT),
                ("subject", TEXT),
                ("tenant", None),
                ("agent", None),
                ("roles", Some(Kind::List)),
                ("scopes", Some(Kind::List)),
                ("claims", Some(Kind::Map)),
            ],
            Self::Tool => &[
                ("kind", TEXT),
                ("name", TEXT),
                ("upstream", TEXT),
                ("class", TEXT),
                ("severity", TEXT),
                ("pii", Some(Kind::Bool)),
            ],
            Self::Request => &[
                ("endpoint", TEXT),
                ("method", TEXT),
                ("protocol", TEXT),
                ("client", None),
                ("time", Some(Kind::Time)),
            ],
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variable| variable.name() == name)
    }
}

/// The type of a variable's field, where it has one.
pub(super) fn field_kind(variable: &str, field: &str) -> Option<Kind> {
    let fields = Variable::named(variable)?.fields();
    fields.iter().find(|(name, _)| *name == field).and_then(|(_, kind)| *kind)
}

/// The words that a field can hold, where they are few.
fn field_words(expression: &IdedExpr) -> Option<&'static [&'static str]> {
    let Expr::Select(select) = &expression.expr else { return None };
    match (&select.operand.expr, select.field.as_str()) {
        (Expr::Ident(name), "kind") if name == "tool" => Some(&["tool", "prompt", "resource"]),
        (Expr::Ident(name), "class") if name == "tool" => Some(&["read", "write", "destructive"]),
        (Expr::Ident(name), "severity") if name == "tool" => Some(&["low", "medium", "high", "critical"]),
        _ => None,
    }
}

/// Which arguments an expression reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reads {
    Nothing,
    Members(BTreeSet<String>),
    Everything,
}

/// What an expression needs.
#[derive(Debug)]
pub(super) struct Findings {
    pub arguments: Reads,
    pub variables: BTreeSet<Variable>,
    /// Whether it reads `tool.name`.
    pub reads_name: bool,
    /// Whether it reads `principal.claims`.
    pub reads_claims: bool,
    /// How many loops are inside one another whose length the caller has a say in.
    pub nesting: usize,
}

/// Refuses what the parser should not even see.
pub(super) fn check_source(source: &str) -> Result<(), Vec<String>> {
    if source.trim().is_empty() {
        return Err(vec!["the expression is empty".to_owned()]);
    }
    if source.len() > SOURCE_BYTES {
        return Err(vec![format!("the expression is longer than {SOURCE_BYTES} bytes")]);
    }
    if source.chars().filter(|c| "+-*/%!<>=&|?.[({".contains(*c)).count() > OPERATORS {
        return Err(vec![format!("the expression has more than {OPERATORS} operators")]);
    }
    Ok(())
}

/// A syntax error in one line.
pub(super) fn describe_syntax(error: &ParseError) -> String {
    let (line, column) = error.pos;
    let message: String = error.msg.lines().next().unwrap_or_default().chars().take(200).collect();
    format!("line {line}, column {column}: {message}")
}

/// Checks a parsed expression and says what it needs.
pub(super) fn check(program: &Program) -> Result<Findings, Vec<String>> {
    let (arguments, variables) = (Reads::Nothing, BTreeSet::new());
    let findings = Findings { arguments, variables, reads_name: false, reads_claims: false, nesting: 0 };
    let mut walk = Walk { findings, bound: Vec::new(), depth: 0, loops: 0, nesting: 0, problems: Vec::new() };
    walk.expression(program.expression());
    walk.want_bool(program.expression(), "the expression");
    if walk.problems.is_empty() {
        return Ok(walk.findings);
    }
    let mut problems = walk.problems;
    problems.dedup();
    Err(problems.into_iter().map(|(id, message)| format!("{}{message}", position(program, id))).collect())
}

fn position(program: &Program, id: u64) -> String {
    let source = program.source_info();
    let Some((start, _)) = source.offset_for(id) else { return String::new() };
    let before: String = source.source.chars().take(usize::try_from(start).unwrap_or(usize::MAX)).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: ")
}

struct Walk<'a> {
    findings: Findings,
    /// The variables of the loops around.
    bound: Vec<&'a str>,
    depth: usize,
    /// The loops around, and those of them whose length the caller has a say in.
    loops: usize,
    nesting: usize,
    problems: Vec<(u64, String)>,
}

impl<'a> Walk<'a> {
    fn report(&mut self, expression: &IdedExpr, message: impl Into<String>) {
        self.problems.push((expression.id, message.into()));
    }

    fn expression(&mut self, expression: &'a IdedExpr) {
        if self.depth >= DEPTH {
            return self.report(expression, "the expression nests too deep");
        }
        self.depth += 1;
        match &expression.expr {
            Expr::Unspecified | Expr::Struct(_) => self.report(expression, "conditions have no such values"),
            Expr::Literal(_) => {}
            Expr::Ident(name) => self.identifier(expression, name),
            Expr::Select(select) => self.field(expression, &select.operand, &select.field),
            Expr::Call(call) => self.call(expression, call),
            Expr::Comprehension(comprehension) => self.comprehension(expression, comprehension),
            Expr::List(list) => list.elements.iter().for_each(|element| self.expression(element)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr)),
        }
        self.depth -= 1;
    }

    fn entry(&mut self, entry: &'a EntryExpr) {
        match entry {
            EntryExpr::MapEntry(entry) => {
                self.expression(&entry.key);
                self.expression(&entry.value);
            }
            EntryExpr::StructField(field) => self.expression(&field.value),
        }
    }

    /// A name that stands alone.
    fn identifier(&mut self, expression: &IdedExpr, name: &'a str) {
        if name.starts_with('@') || self.bound.contains(&name) || TYPE_NAMES.contains(&name) {
            return;
        }
        match (name, Variable::named(name)) {
            ("args", _) => self.findings.arguments = Reads::Everything,
            (_, Some(variable)) => {
                self.findings.reads_name |= variable == Variable::Tool;
                self.findings.reads_claims |= variable == Variable::Principal;
                self.findings.variables.insert(variable);
            }
            _ => self
                .report(expression, format!("there is no variable `{name}`; there are args, principal, tool, request")),
        }
    }

    /// A field of something, or an index that is literal text.
    fn field(&mut self, expression: &IdedExpr, operand: &'a IdedExpr, field: &str) {
        let name = match &operand.expr {
            Expr::Ident(name) if !self.bound.contains(&name.as_str()) => name.as_str(),
            _ => return self.expression(operand),
        };
        if name == "args" {
            return self.reads(field);
        }
        let Some(variable) = Variable::named(name) else { return self.expression(operand) };
        if !variable.fields().iter().any(|(known, _)| *known == field) {
            let known: Vec<_> = variable.fields().iter().map(|(name, _)| *name).collect();
            self.report(expression, format!("`{name}` has no `{field}`; it has {}", known.join(", ")));
        }
        self.findings.variables.insert(variable);
        self.findings.reads_name |= variable == Variable::Tool && field == "name";
        self.findings.reads_claims |= variable == Variable::Principal && field == "claims";
    }

    fn reads(&mut self, member: &str) {
        match &mut self.findings.arguments {
            Reads::Everything => {}
            Reads::Members(names) => _ = names.insert(member.to_owned()),
            nothing => *nothing = Reads::Members([member.to_owned()].into()),
        }
    }

    fn call(&mut self, expression: &'a IdedExpr, call: &'a CallExpr) {
        let name = call.func_name.as_str();
        let is_operator = name.contains('_') && !name.chars().any(char::is_alphanumeric) || name == operators::IN;
        if !is_operator && !FUNCTIONS.contains(&name) {
            return self.report(expression, format!("there is no function or macro `{name}` that is called so"));
        }
        self.operands(call);
        if name == "matches" {
            self.pattern(expression, call);
        }
        if let (operators::INDEX, [operand, index]) = (name, call.args.as_slice())
            && let Expr::Literal(LiteralValue::String(field)) = &index.expr
        {
            return self.field(expression, operand, field.inner());
        }
        call.target.iter().for_each(|target| self.expression(target));
        call.args.iter().for_each(|argument| self.expression(argument));
    }

    /// A pattern is literal, so that it is checked here and not chosen by the caller.
    fn pattern(&mut self, expression: &IdedExpr, call: &CallExpr) {
        let problem = match call.args.last().map(|pattern| &pattern.expr) {
            Some(Expr::Literal(LiteralValue::String(pattern))) => match regex::Regex::new(pattern.inner()) {
                Ok(_) => return,
                Err(error) => {
                    let text = error.to_string();
                    format!("not a regular expression: {}", text.lines().last().unwrap_or_default().trim())
                }
            },
            _ => "the pattern of `matches` must be literal text".to_owned(),
        };
        self.report(expression, problem);
    }

    fn operands(&mut self, call: &CallExpr) {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, operands) => {
                operands.iter().for_each(|operand| self.want_bool(operand, "an operand of && || !"));
            }
            (operators::CONDITIONAL, [condition, ..]) => self.want_bool(condition, "what stands before the ?"),
            (operators::EQUALS | operators::NOT_EQUALS, [one, other]) => {
                self.comparison(one, other);
                self.word(one, other);
                self.word(other, one);
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [one, other],
            ) => self.comparison(one, other),
            _ => {}
        }
    }

    fn want_bool(&mut self, expression: &IdedExpr, what: &str) {
        if let Some(kind) = kind(expression, &self.bound)
            && kind != Kind::Bool
        {
            self.report(expression, format!("{what} is {}, and must be true or false", kind.name()));
        }
    }

    fn comparison(&mut self, one: &IdedExpr, other: &IdedExpr) {
        if let (Some(left), Some(right)) = (kind(one, &self.bound), kind(other, &self.bound))
            && !left.compares_with(right)
        {
            self.report(one, format!("{} is never {}", left.name(), right.name()));
        }
    }

    fn word(&mut self, field: &IdedExpr, value: &IdedExpr) {
        let Some(words) = field_words(field) else { return };
        if let Expr::Literal(LiteralValue::String(value)) = &value.expr
            && !words.contains(&value.inner())
        {
            self.report(field, format!("it is never `{}`, but one of {}", value.inner(), words.join(", ")));
        }
    }

    fn comprehension(&mut self, expression: &IdedExpr, comprehension: &'a ComprehensionExpr) {
        self.expression(&comprehension.iter_range);
        self.expression(&comprehension.accu_init);
        let counted = usize::from(!matches!(comprehension.iter_range.expr, Expr::List(_)));
        self.loops += 1;
        self.nesting += counted;
        self.findings.nesting = self.findings.nesting.max(self.nesting);
        if self.loops > NESTING {
            self.report(expression, format!("more than {NESTING} loops inside one another"));
        }
        let outside = self.bound.len();
        for name in [Some(&comprehension.iter_var), comprehension.iter_var2.as_ref()].into_iter().flatten() {
            if name == "args" || Variable::named(name).is_some() {
                self.report(expression, format!("a loop can't call its variable `{name}`, which has a meaning"));
            }
            self.bound.push(name);
        }
        self.bound.push(&comprehension.accu_var);
        for part in [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
            self.expression(part);
        }
        self.bound.truncate(outside);
        self.nesting -= counted;
        self.loops -= 1;
    }
}
