//! The customers and the tools that read and change them: a dry run that says what would change, and the change itself.

use std::collections::BTreeMap;

use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::{tool, tool_router};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Ops, may_be_left_out, quoted};

/// The most fields one update may name.
const MAX_CHANGES: usize = 20;

/// The most fields a customer may have.
const MAX_FIELDS: usize = 50;

/// The most characters of a text value.
const MAX_TEXT: usize = 500;

/// The most characters of a field's name.
const MAX_NAME: usize = 40;

type Fields = BTreeMap<String, Value>;

/// All customers by id.
pub(super) struct Customers(BTreeMap<&'static str, Fields>);

/// A customer before the first change: id, company, tier, then the person there with email and telephone.
type Seed = [&'static str; 6];

static SEEDS: [Seed; 4] = [
    ["C-2001", "Alpenquell AG", "gold", "Salome Brandhuber", "salome@alpenquell.example.com", "+41 44 668 18 00"],
    ["C-2002", "Nordlicht Logistik GmbH", "silver", "Henrike Osswald", "ho@nordlicht.example.com", "+49 30 23125 018"],
    ["C-2003", "Thames End Ltd", "bronze", "Percival Ashgrove", "percival@thamesend.example.com", "+44 20 7946 0321"],
    [
        "C-2004",
        "Cascadia Mills Inc.",
        "gold",
        "Winifred Okonjo",
        "w.okonjo@cascadia-mills.example.com",
        "+1 202-555-0178",
    ],
];

impl Default for Customers {
    fn default() -> Self {
        let customer = |[id, company, tier, contact, email, phone]: Seed| {
            let fields = [
                ("company", company),
                ("tier", tier),
                ("contact_name", contact),
                ("email", email),
                ("phone", phone),
                ("status", "active"),
            ];
            (id, fields.map(|(name, value)| (name.to_owned(), Value::from(value))).into())
        };
        Self(SEEDS.into_iter().map(customer).collect())
    }
}

impl Customers {
    fn find(&mut self, id: &str) -> Result<&mut Fields, String> {
        let unknown = || format!("there is no customer {}: ids run from C-2001 to C-2004", quoted(id));
        self.0.get_mut(id).ok_or_else(unknown)
    }
}

/// What happens to one field.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
struct Change {
    /// The field.
    field: String,
    /// Its value so far, null where it has none.
    before: Value,
    /// Its new value, null where it goes.
    after: Value,
}

/// What `wanted` changes about a customer, in order of the fields' names. Nothing is written.
fn plan(customer: &Fields, wanted: Fields) -> Result<Vec<Change>, String> {
    if wanted.is_empty() || wanted.len() > MAX_CHANGES {
        return Err(format!("an update names 1 to {MAX_CHANGES} fields, not {}", wanted.len()));
    }
    let mut changes = Vec::new();
    for (field, after) in wanted {
        check_name(&field)?;
        check_value(&field, &after)?;
        let before = customer.get(&field).cloned().unwrap_or_default();
        if before != after {
            changes.push(Change { field, before, after });
        }
    }
    let added = changes.iter().filter(|change| change.before.is_null()).count();
    if customer.len() + added > MAX_FIELDS {
        return Err(format!("a customer has at most {MAX_FIELDS} fields"));
    }
    Ok(changes)
}

fn check_name(field: &str) -> Result<(), String> {
    let plain = field.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    match field {
        "customer_id" | "id" => Err("a customer's id cannot be changed".to_owned()),
        _ if plain && (1..=MAX_NAME).contains(&field.len()) => Ok(()),
        _ => Err(format!("{} is not a field name: up to {MAX_NAME} of a-z, 0-9 and _", quoted(field))),
    }
}

fn check_value(field: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Array(_) | Value::Object(_) => Err(format!("{field} must be a string, number, boolean or null")),
        Value::String(text) if text.chars().count() > MAX_TEXT => {
            Err(format!("{field} is too long: at most {MAX_TEXT} characters"))
        }
        _ => Ok(()),
    }
}

fn apply(customer: &mut Fields, changes: &[Change]) {
    for Change { field, after, .. } in changes {
        match after {
            Value::Null => drop(customer.remove(field)),
            _ => drop(customer.insert(field.clone(), after.clone())),
        }
    }
}

fn fields_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "The new values by field name; null removes a field. Known fields: company, tier, contact_name, \
                        email, phone, status; others are added",
        "type": "object",
        "minProperties": 1,
        "maxProperties": MAX_CHANGES,
        "propertyNames": { "pattern": "^[a-z0-9_]{1,40}$" },
        "additionalProperties": { "type": ["string", "number", "boolean", "null"], "maxLength": MAX_TEXT },
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ByCustomer {
    /// A customer's id, such as C-2001.
    #[schemars(length(min = 1, max = 20))]
    customer_id: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Update {
    /// A customer's id, such as C-2001.
    #[schemars(length(min = 1, max = 20))]
    customer_id: String,
    #[schemars(schema_with = "fields_schema")]
    fields: Fields,
}

#[derive(Serialize, JsonSchema)]
#[schemars(transform = may_be_left_out)]
struct Customer {
    /// The id asked for.
    customer_id: String,
    /// Everything known about the customer.
    fields: Fields,
}

#[derive(Serialize, JsonSchema)]
#[schemars(transform = may_be_left_out)]
struct Outcome {
    /// The customer.
    customer_id: String,
    /// Whether the changes were made, or only worked out.
    applied: bool,
    /// The fields that differ; empty where everything is as wished already.
    changes: Vec<Change>,
}

#[tool_router(router = crm_tools, vis = "pub(crate)")]
impl Ops {
    #[tool(
        title = "Get a customer",
        description = "Shows everything the CRM knows about a customer, personal data of the contact included.",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn get_customer(
        &self,
        Parameters(ByCustomer { customer_id }): Parameters<ByCustomer>,
    ) -> Result<Json<Customer>, String> {
        let fields = self.company().customers.find(&customer_id)?.clone();
        Ok(Json(Customer { customer_id, fields }))
    }

    #[tool(
        title = "Preview a CRM update",
        description = "Says what execute_crm_update would change with the same arguments, and changes nothing.",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn create_crm_update_dry_run(
        &self,
        Parameters(Update { customer_id, fields }): Parameters<Update>,
    ) -> Result<Json<Outcome>, String> {
        let changes = plan(self.company().customers.find(&customer_id)?, fields)?;
        Ok(Json(Outcome { customer_id, applied: false, changes }))
    }

    #[tool(
        title = "Update the CRM",
        description = "Writes new values into a customer's record, all or none; the old ones are lost. Use \
                       create_crm_update_dry_run first.",
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn execute_crm_update(
        &self,
        Parameters(Update { customer_id, fields }): Parameters<Update>,
    ) -> Result<Json<Outcome>, String> {
        let mut company = self.company();
        let customer = company.customers.find(&customer_id)?;
        let changes = plan(customer, fields)?;
        apply(customer, &changes);
        Ok(Json(Outcome { customer_id, applied: true, changes }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_plan_names_what_differs_and_nothing_else() {
        let customer = fields(json!({ "tier": "gold", "email": "a@example.com", "score": 1 }));
        let wanted = fields(json!({ "tier": "gold", "email": null, "score": 2, "new": true, "gone": null }));
        let changes: Vec<Value> =
            plan(&customer, wanted).unwrap().iter().map(|change| serde_json::to_value(change).unwrap()).collect();
        let expected = [
            json!({ "field": "email", "before": "a@example.com", "after": null }),
            json!({ "field": "new", "before": null, "after": true }),
            json!({ "field": "score", "before": 1, "after": 2 }),
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn odd_updates_are_refused_before_anything_changes() {
        let cases = [
            (json!({}), "1 to 20 fields"),
            (json!({ "customer_id": "C-2002" }), "cannot be changed"),
            (json!({ "Tier": "gold" }), "not a field name"),
            (json!({ "": 1 }), "not a field name"),
            (json!({ "tier": ["gold"] }), "must be a string"),
            (json!({ "tier": "x".repeat(501) }), "too long"),
        ];
        for (wanted, expected) in cases {
            let problem = plan(&Fields::new(), fields(wanted)).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
        let many: Fields = (0..21).map(|number| (format!("f{number}"), json!(1))).collect();
        assert!(plan(&Fields::new(), many).unwrap_err().contains("1 to 20"));
        let full: Fields = (0..50).map(|number| (format!("f{number}"), json!(1))).collect();
        assert!(plan(&full, fields(json!({ "one_more": 1 }))).unwrap_err().contains("at most 50"));
        assert!(plan(&full, fields(json!({ "f1": 2 }))).is_ok());
    }
}
