//! The three tools as MCP sees them: names, descriptions, schemas, and the step from text to numbers and back. The
//! mathematics is elsewhere. Whatever is wrong with the numbers becomes a result with `isError` that says so, since the
//! caller can mend it.

use std::sync::Arc;

use bigdecimal::BigDecimal;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::arithmetic::{self, Operator};
use crate::decimal::{self, parse};
use crate::statistics::{self, Measure, Summary};
use crate::units;

/// The handler that serves the tools. It has no state, and clones share the table of tools.
#[derive(Clone)]
pub struct Calculator {
    tools: Arc<ToolRouter<Self>>,
}

impl Default for Calculator {
    fn default() -> Self {
        Self { tools: Arc::new(Self::tool_router()) }
    }
}

/// A decimal number as the caller wrote it. JSON numbers arrive here as text too, by way of `numerals`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Numeral(String);

impl JsonSchema for Numeral {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Numeral".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A decimal number, as a string such as \"-12.50\" or \"6.02e23\" or as a JSON number; read exactly",
            "type": ["string", "number"],
            "minLength": 1,
            "maxLength": decimal::MAX_TEXT,
            "pattern": "^[+-]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?$",
        })
    }
}

impl Numeral {
    fn read(&self) -> Result<BigDecimal, String> {
        parse(&self.0)
    }
}

fn precision_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "Significant digits of a result that does not come out even",
        "type": "integer",
        "minimum": 1,
        "maximum": decimal::MAX_PRECISION,
        "default": decimal::DEFAULT_PRECISION,
    })
}

/// The digits asked for, and the default where there are none.
fn digits(precision: Option<&Numeral>) -> Result<u32, String> {
    decimal::precision(precision.map(|numeral| numeral.0.as_str()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Calculation {
    /// What to do with the operands.
    operator: Operator,
    /// The numbers, in order.
    #[schemars(length(min = 1, max = arithmetic::MAX_OPERANDS))]
    operands: Vec<Numeral>,
    #[schemars(schema_with = "precision_schema")]
    #[serde(default)]
    precision: Option<Numeral>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Values {
    /// The numbers, in any order.
    #[schemars(length(min = 1, max = statistics::MAX_VALUES))]
    values: Vec<Numeral>,
    /// What to work out; left out or empty means everything.
    #[serde(default)]
    #[schemars(length(max = 32))]
    measures: Vec<Measure>,
    #[schemars(schema_with = "precision_schema")]
    #[serde(default)]
    precision: Option<Numeral>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Conversion {
    /// The number to convert.
    value: Numeral,
    /// The unit it is in: a symbol such as "ft" (case counts) or a name such as "feet".
    #[schemars(length(min = 1, max = 40))]
    from: String,
    /// The unit it shall be in.
    #[schemars(length(min = 1, max = 40))]
    to: String,
    #[schemars(schema_with = "precision_schema")]
    #[serde(default)]
    precision: Option<Numeral>,
}

#[derive(Serialize, JsonSchema)]
struct Calculated {
    /// The result in plain decimal digits.
    result: String,
    /// Whether that is the true result, rather than the true result rounded to the precision.
    exact: bool,
}

#[derive(Serialize, JsonSchema)]
struct Measured {
    /// The converted number in plain decimal digits.
    result: String,
    /// The symbol of the unit it is in.
    unit: String,
    /// Whether that is the true value, rather than the true value rounded to the precision.
    exact: bool,
}

#[tool_router]
impl Calculator {
    #[tool(
        title = "Exact calculation",
        description = "Calculates with decimal numbers of any size, without binary rounding: 0.1 + 0.2 is 0.3. Sums, \
                       products, whole powers, remainders and comparisons are exact; quotients and roots are rounded \
                       once (half to even) to `precision` significant digits, and `exact` tells whether that was needed.",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn exact_calculate(
        &self,
        Parameters(Calculation { operator, operands, precision }): Parameters<Calculation>,
    ) -> Result<Json<Calculated>, String> {
        let operands: Vec<BigDecimal> = operands.iter().map(Numeral::read).collect::<Result<_, _>>()?;
        let answer = arithmetic::calculate(operator, &operands, digits(precision.as_ref())?)?;
        Ok(Json(Calculated { result: decimal::text(&answer.value), exact: answer.exact }))
    }

    #[tool(
        title = "Statistics",
        description = "Summarises a list of decimal numbers: count, sum, mean, median, min, max, variance and standard \
                       deviation (of a sample, and of a population). Nothing is rounded but the figures listed in \
                       `rounded`, and those only once.",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn statistics(
        &self,
        Parameters(Values { values, measures, precision }): Parameters<Values>,
    ) -> Result<Json<Summary>, String> {
        let values: Vec<BigDecimal> = values.iter().map(Numeral::read).collect::<Result<_, _>>()?;
        statistics::summarise(&values, &measures, digits(precision.as_ref())?).map(Json)
    }

    #[tool(
        title = "Unit conversion",
        description = format!(
            "Converts a number between units of one kind by their defining factors (an inch is 0.0254 m). Units: {}.",
            units::catalogue()
        ),
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn convert_units(
        &self,
        Parameters(Conversion { value, from, to, precision }): Parameters<Conversion>,
    ) -> Result<Json<Measured>, String> {
        let converted = units::convert(&value.read()?, &from, &to, digits(precision.as_ref())?)?;
        let result = decimal::text(&converted.answer.value);
        Ok(Json(Measured { result, unit: converted.unit.to_owned(), exact: converted.answer.exact }))
    }
}

#[tool_handler(
    router = self.tools,
    name = "portcullis-calculator",
    instructions = "Use exact_calculate for any arithmetic whose digits matter; give long numbers as strings."
)]
impl ServerHandler for Calculator {}
