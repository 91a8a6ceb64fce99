//! The methods of MCP.

/// A method by its name. Names are case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Method {
    /// `initialize`, legacy.
    Initialize,
    /// `ping`, legacy.
    Ping,
    /// `logging/setLevel`, legacy.
    SetLevel,
    /// `resources/subscribe`, legacy.
    ResourcesSubscribe,
    /// `resources/unsubscribe`, legacy.
    ResourcesUnsubscribe,
    /// `server/discover`, modern.
    Discover,
    /// `subscriptions/listen`, modern.
    Listen,
    /// `tools/list`.
    ToolsList,
    /// `tools/call`.
    ToolsCall,
    /// `prompts/list`.
    PromptsList,
    /// `prompts/get`.
    PromptsGet,
    /// `resources/list`.
    ResourcesList,
    /// `resources/templates/list`.
    ResourceTemplatesList,
    /// `resources/read`.
    ResourcesRead,
    /// `completion/complete`.
    Complete,
    /// `tasks/get`.
    TasksGet,
    /// `tasks/update`, modern.
    TasksUpdate,
    /// `tasks/cancel`.
    TasksCancel,
    /// `tasks/list`, legacy and experimental.
    TasksList,
    /// `tasks/result`, legacy and experimental.
    TasksResult,
    /// `sampling/createMessage`, asked of a client.
    CreateMessage,
    /// `elicitation/create`, asked of a client.
    Elicit,
    /// `roots/list`, asked of a client.
    RootsList,
    /// `notifications/initialized`, legacy.
    Initialized,
    /// `notifications/cancelled`.
    Cancelled,
    /// `notifications/progress`.
    Progress,
    /// `notifications/message`.
    LogMessage,
    /// Any other.
    Other(String),
}

const KNOWN: [(Method, &str); 27] = [
    (Method::ToolsCall, "tools/call"),
    (Method::ToolsList, "tools/list"),
    (Method::Initialize, "initialize"),
    (Method::Ping, "ping"),
    (Method::SetLevel, "logging/setLevel"),
    (Method::ResourcesSubscribe, "resources/subscribe"),
    (Method::ResourcesUnsubscribe, "resources/unsubscribe"),
    (Method::Discover, "server/discover"),
    (Method::Listen, "subscriptions/listen"),
    (Method::PromptsList, "prompts/list"),
    (Method::PromptsGet, "prompts/get"),
    (Method::ResourcesList, "resources/list"),
    (Method::ResourceTemplatesList, "resources/templates/list"),
    (Method::ResourcesRead, "resources/read"),
    (Method::Complete, "completion/complete"),
    (Method::TasksGet, "tasks/get"),
    (Method::TasksUpdate, "tasks/update"),
    (Method::TasksCancel, "tasks/cancel"),
    (Method::TasksList, "tasks/list"),
    (Method::TasksResult, "tasks/result"),
    (Method::CreateMessage, "sampling/createMessage"),
    (Method::Elicit, "elicitation/create"),
    (Method::RootsList, "roots/list"),
    (Method::Initialized, "notifications/initialized"),
    (Method::Cancelled, "notifications/cancelled"),
    (Method::Progress, "notifications/progress"),
    (Method::LogMessage, "notifications/message"),
];

impl Method {
    /// From the wire.
    pub fn parse(text: &str) -> Self {
        let known = KNOWN.into_iter().find(|(_, name)| *name == text);
        known.map_or_else(|| Self::Other(text.to_owned()), |(method, _)| method)
    }

    /// As on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known => KNOWN.iter().find(|(method, _)| method == known).map_or("", |(_, name)| name),
        }
    }

    /// A label that never is the caller's own text: the name of a known method, else `other`.
    pub fn label(&self) -> &'static str {
        KNOWN.iter().find(|(method, _)| method == self).map_or("other", |(_, name)| name)
    }

    /// The member of `params` that `Mcp-Name` repeats, where the method has one (MCP 2026-07-28 "Standard Request
    /// Headers", SEP-2663 "Routing Headers").
    pub fn named_by(&self) -> Option<&'static str> {
        match self {
            Self::ToolsCall | Self::PromptsGet => Some("name"),
            Self::ResourcesRead => Some("uri"),
            Self::TasksGet | Self::TasksUpdate | Self::TasksCancel => Some("taskId"),
            _ => None,
        }
    }

    /// Whether it is a notification by its name. Any other method without an id is a request that hides.
    pub fn is_notification(&self) -> bool {
        self.as_str().starts_with("notifications/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_method_reads_and_prints_the_same() {
        for (method, name) in KNOWN {
            assert_eq!(Method::parse(name), method);
            assert_eq!(method.as_str(), name);
            assert_eq!(method.label(), name);
        }
    }

    #[test]
    fn an_unknown_method_keeps_its_name_and_has_no_label_of_its_own() {
        for name in ["Tools/call", "tools/call ", "x", ""] {
            let method = Method::parse(name);
            assert_eq!(method, Method::Other(name.to_owned()));
            assert_eq!((method.as_str(), method.label()), (name, "other"));
        }
    }
}
