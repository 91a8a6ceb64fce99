//! What is wrong with an argument, said without the argument.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

/// The longest name of a property that is repeated, in characters: a longer one may well be a value in disguise.
const NAME_CHARS: usize = 64;
/// The longest pointer, in segments.
const POINTER_SEGMENTS: usize = 16;
/// The longest text that is quoted from the schema, in characters.
const QUOTED_CHARS: usize = 120;
/// How many names or options are listed.
const LISTED: usize = 10;

/// The first thing that is wrong with arguments. Holds names of properties, what the schema says, and no value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// JSON pointer to what is wrong (RFC 6901); empty for the arguments as a whole.
    pub pointer: String,
    /// What is wrong there.
    pub problem: String,
}

impl Violation {
    /// Of the arguments as a whole.
    pub(super) fn whole(problem: &str) -> Self {
        Self { pointer: String::new(), problem: problem.to_owned() }
    }

    /// From the validating crate's own.
    pub(super) fn of(error: &ValidationError<'_>) -> Self {
        // The crate names no property where the schema has no `properties` to tell them from.
        use ValidationErrorKind as Kind;
        let nameless =
            matches!(error.kind(), Kind::FalseSchema) && error.schema_path().as_str().ends_with("Properties");
        let problem = match error.kind() {
            _ if nameless => "a property is not allowed".to_owned(),
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                let listed = alternatives(error, context).map(|options| one_of(&options));
                listed.unwrap_or_else(|| problem(error.kind()))
            }
            kind => problem(kind),
        };
        Self { pointer: pointer(error.instance_path().as_str()), problem }
    }
}

/// `pointer` with segments that are too long replaced, and cut where it is too deep: the caller chooses its names.
pub(super) fn pointer(pointer: &str) -> String {
    let segments = pointer.split('/').skip(1);
    segments.take(POINTER_SEGMENTS).map(|segment| format!("/{}", name(segment))).collect()
}

/// A property's name, if it is short and plain.
fn name(name: &str) -> &str {
    if name.chars().count() > NAME_CHARS || name.contains(char::is_control) { "…" } else { name }
}

fn problem(kind: &ValidationErrorKind) -> String {
    use ValidationErrorKind as Kind;
    match kind {
        Kind::Type { kind } => format!("must be {}", types(kind)),
        Kind::Required { property } => format!("`{}` is missing", name(property.as_str().unwrap_or("…"))),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!("{} not allowed", names(unexpected))
        }
        Kind::PropertyNames { .. } => "a property's name is not allowed".to_owned(),
        Kind::Enum { options } => one_of(options),
        Kind::Constant { expected_value } => format!("must be {}", quoted(expected_value)),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::AdditionalItems { limit } => format!("must have at most {limit} items"),
        Kind::MinProperties { limit } => format!("must have at least {limit} properties"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} properties"),
        Kind::UniqueItems => "must not hold the same item twice".to_owned(),
        Kind::UnevaluatedItems { .. } => "holds items that are not allowed".to_owned(),
        Kind::Contains => "must hold an item of the kind that the schema asks for".to_owned(),
        Kind::Pattern { pattern } => format!("must match the pattern {}", clip(pattern)),
        Kind::Format { format } => format!("must have the format {}", clip(format)),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => "fits none of the allowed alternatives".to_owned(),
        Kind::OneOfMultipleValid { .. } => "fits more than one of the alternatives".to_owned(),
        Kind::Not { .. } | Kind::FalseSchema => "is not allowed".to_owned(),
        other => format!("does not fit the schema's `{}`", clip(other.keyword())),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(only) => type_name(*only).to_owned(),
        TypeKind::Multiple(several) => several.iter().map(type_name).collect::<Vec<_>>().join(" or "),
    }
}

fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "an array",
        JsonType::Boolean => "a boolean",
        JsonType::Integer => "an integer",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}

fn names(unexpected: &[String]) -> String {
    let mut names: Vec<String> = unexpected.iter().map(|unexpected| format!("`{}`", name(unexpected))).collect();
    names.sort_unstable();
    names.truncate(LISTED);
    let verb = if unexpected.len() == 1 { "is" } else { "are" };
    let more = if unexpected.len() > LISTED { " and more" } else { "" };
    format!("{}{more} {verb}", names.join(", "))
}

fn one_of(options: &Value) -> String {
    let options = options.as_array().map_or(&[][..], Vec::as_slice);
    let listed: Vec<_> = options.iter().take(LISTED).map(quoted).collect();
    match options.len().saturating_sub(LISTED) {
        0 => format!("must be one of {}", listed.join(", ")),
        more => format!("must be one of {}, or of {more} more that the schema lists", listed.join(", ")),
    }
}

/// The values that `error` leaves, where each of its alternatives, whose errors are `context`, is but a value or a list of
/// them: so many generators write an enumeration whose values are described.
fn alternatives(error: &ValidationError<'_>, context: &[Vec<ValidationError<'_>>]) -> Option<Value> {
    let mut options = Vec::new();
    for errors in context {
        let [only] = errors.as_slice() else { return None };
        if only.instance_path() != error.instance_path() {
            return None;
        }
        match only.kind() {
            ValidationErrorKind::Constant { expected_value } => options.push(Value::clone(expected_value)),
            ValidationErrorKind::Enum { options: listed } => options.extend(listed.as_array()?.iter().cloned()),
            _ => return None,
        }
    }
    Some(Value::Array(options))
}

fn quoted(value: &Value) -> String {
    clip(&value.to_string())
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
