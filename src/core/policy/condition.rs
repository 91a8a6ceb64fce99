//! Conditions in CEL: the `when:` of a rule.
//!
//! The language is the standard one (`cel` crate) without optional values and without functions of our own. `args`
//! holds the arguments, `principal`, `tool` and `request` what `check` lists. `tool` is the prompt or resource where one
//! is asked for, as its `kind` says; a condition that reads the `name` of a resource whose URI can be read in two ways
//! is a fault. An expression that fails, or is not a
//! truth value, is a fault and never simply false. `==` between values of different types is false in CEL, not a
//! fault: where the type matters, an `args:` constraint is stricter.

mod check;
mod kind;

use crate::policy::json::{Json, Number};
use crate::policy::request::{Arguments, Facts};
use crate::policy::verdict::Fault;
use cel::{Env, ExecutionError, Program, Value};
use check::{Findings, Reads, Variable};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How much an expression with so many loops inside one another may loop over, in units of `weight`; what it does in
/// the innermost one may itself look at all of it. Without a loop the work is bounded by the request's own size.
/// Loops over lists that stand in the expression itself do not count.
const LOOP_WEIGHT: [usize; 3] = [usize::MAX, 64 << 10, 4 << 10];

/// The language that conditions are compiled for; one for all conditions of a policy.
#[derive(Clone)]
pub(super) struct Language(Arc<Env>);

impl Default for Language {
    fn default() -> Self {
        Self(Arc::new(Env::stdlib().with_optional_support(false)))
    }
}

/// A compiled condition.
pub(super) struct Condition {
    source: String,
    program: Program,
    language: Language,
    findings: Findings,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.source).finish()
    }
}

impl Condition {
    /// Compiles `source`; what is wrong with it, with positions, all at once.
    pub fn compile(source: &str, language: &Language) -> Result<Self, Vec<String>> {
        check::check_source(source)?;
        let parse = || language.0.compile(source);
        let program = catch_unwind(AssertUnwindSafe(parse))
            .map_err(|_| vec!["the expression can't be read".to_owned()])?
            .map_err(|errors| errors.errors.iter().map(check::describe_syntax).collect::<Vec<_>>())?;
        let findings = check::check(&program)?;
        Ok(Self { source: source.to_owned(), program, language: language.clone(), findings })
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it depends on the call's arguments.
    pub fn reads_arguments(&self) -> bool {
        self.findings.arguments != Reads::Nothing
    }

    /// Whether it depends on claims of the caller's token.
    pub fn reads_claims(&self) -> bool {
        self.findings.reads_claims
    }

    /// Whether it is true of the request.
    pub fn judge(&self, facts: &Facts<'_>) -> Result<bool, Fault> {
        if let (true, Some(reason)) = (self.findings.reads_name, facts.uri.as_ref().and_then(|uri| uri.ambiguous)) {
            return Err(Fault::AmbiguousName(reason));
        }
        let mut context = cel::Context::with_env(Arc::clone(&self.language.0));
        if self.reads_arguments() {
            context.add_variable_from_value("args", self.arguments(facts)?);
        }
        for variable in &self.findings.variables {
            let value = match variable {
                Variable::Principal => facts.principal.get_or_init(|| principal(facts)).clone(),
                Variable::Tool => tool(facts),
                Variable::Request => request(facts),
            };
            context.add_variable_from_value(variable.name(), value);
        }
        // The interpreter has panics of its own for trees that its parser should not make.
        match catch_unwind(AssertUnwindSafe(|| self.program.execute(&context))) {
            Ok(Ok(Value::Bool(truth))) => Ok(truth),
            Ok(Ok(_)) => Err(Fault::NotBool),
            Ok(Err(error)) => Err(Fault::Failed(describe(&error, &self.source))),
            Err(_) => Err(Fault::Failed("the interpreter failed".to_owned())),
        }
    }

    /// The arguments that the expression names, or all where it does not say which.
    fn arguments(&self, facts: &Facts<'_>) -> Result<Value, Fault> {
        let Arguments::Of(arguments) = facts.request.arguments else { return Err(Fault::Unreadable) };
        let members = arguments.members().map_err(|_| Fault::Unreadable)?;
        let is_read = |name: &String| match &self.findings.arguments {
            Reads::Nothing => false,
            Reads::Members(names) => names.contains(name),
            Reads::Everything => true,
        };
        let read: BTreeMap<&String, &Json> = members.iter().filter(|(name, _)| is_read(name)).collect();
        let weight: usize = read.values().map(|member| weight(member)).sum();
        if LOOP_WEIGHT.get(self.findings.nesting).is_none_or(|limit| weight > *limit) {
            return Err(Fault::TooLarge);
        }
        let members = read.into_iter().map(|(name, member)| Ok((name.clone(), argument(member)?)));
        members.collect::<Result<HashMap<_, _>, Fault>>().map(Value::from)
    }
}

/// How much there is to loop over or to compare.
fn weight(json: &Json) -> usize {
    const NODE: usize = 16;
    NODE + match json {
        Json::Text(text) => text.len(),
        Json::List(members) => members.iter().map(weight).sum(),
        Json::Object(members) => members.iter().map(|(key, member)| key.len() + weight(member)).sum(),
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
    }
}

fn argument(json: &Json) -> Result<Value, Fault> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(Number::Integer(number)) => Value::Int(*number),
        Json::Number(Number::Fraction(number)) => Value::Float(*number),
        Json::Number(Number::Inexact) => return Err(Fault::InexactNumber),
        Json::Text(text) => Value::from(text.as_str()),
        Json::List(members) => Value::from(members.iter().map(argument).collect::<Result<Vec<_>, _>>()?),
        Json::Object(members) => {
            let members = members.iter().map(|(key, member)| Ok((key.clone(), argument(member)?)));
            Value::from(members.collect::<Result<HashMap<_, _>, Fault>>()?)
        }
    })
}

fn principal(facts: &Facts<'_>) -> Value {
    let principal = facts.request.principal;
    let claims = principal.claims.iter().map(|(name, value)| (name.clone(), claim(value)));
    map([
        ("issuer", Value::from(principal.issuer.as_str())),
        ("subject", Value::from(principal.subject.as_str())),
        ("tenant", text_or_null(principal.tenant.as_deref())),
        ("agent", text_or_null(principal.agent.as_deref())),
        ("roles", Value::from(facts.request.roles.iter().map(Value::from).collect::<Vec<_>>())),
        ("scopes", Value::from(principal.scopes.iter().map(|scope| Value::from(scope.as_str())).collect::<Vec<_>>())),
        ("claims", Value::from(claims.collect::<HashMap<_, _>>())),
    ])
}

/// Claims come from a verified token: their numbers are taken as they were read.
fn claim(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Value::Int(number),
            (None, Some(number), _) => Value::UInt(number),
            (None, None, number) => number.map_or(Value::Null, Value::Float),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(members) => Value::from(members.iter().map(claim).collect::<Vec<_>>()),
        serde_json::Value::Object(members) => {
            Value::from(members.iter().map(|(key, member)| (key.clone(), claim(member))).collect::<HashMap<_, _>>())
        }
    }
}

fn tool(facts: &Facts<'_>) -> Value {
    map([
        ("kind", Value::from(facts.request.kind.as_str())),
        ("name", Value::from(facts.name.as_str())),
        ("upstream", Value::from(facts.request.tool.upstream.as_str())),
        ("class", Value::from(facts.traits.class.as_str())),
        ("severity", Value::from(facts.traits.severity.as_str())),
        ("pii", Value::Bool(facts.traits.pii)),
    ])
}

fn request(facts: &Facts<'_>) -> Value {
    let context = facts.request.context;
    let time = chrono::DateTime::from_timestamp_millis(facts.now.millis());
    map([
        ("endpoint", Value::from(context.endpoint)),
        ("method", Value::from(context.method)),
        ("protocol", Value::from(context.protocol)),
        ("client", text_or_null(context.client.map(|client| client.to_string()).as_deref())),
        ("time", time.map_or(Value::Null, |time| Value::Timestamp(time.fixed_offset()))),
    ])
}

fn map<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::from(HashMap::from(members.map(|(name, value)| (name.to_owned(), value))))
}

fn text_or_null(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}

/// What failed, without the values that it failed on: some are the caller's. A key is named where the policy names it.
fn describe(error: &ExecutionError, source: &str) -> String {
    match error {
        ExecutionError::NoSuchKey(key) if source.contains(key.as_str()) => format!("there is no `{key}`"),
        ExecutionError::NoSuchKey(_) => "there is no such key".to_owned(),
        ExecutionError::NoSuchOverload(overload) => overload.to_string(),
        ExecutionError::UndeclaredReference(name) => format!("`{name}` is not declared"),
        ExecutionError::FunctionError { function, .. } => format!("`{function}` failed"),
        ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "a division by zero".to_owned(),
        ExecutionError::Overflow(..) => "a number overflowed".to_owned(),
        ExecutionError::UnexpectedType { got, want } => format!("{got} stands where {want} is wanted"),
        _ => "the expression does not fit these values".to_owned(),
    }
}

#[cfg(test)]
mod tests;
