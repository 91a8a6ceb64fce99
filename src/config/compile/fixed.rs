//! What a reload can't change, because it was used when the process started. Taking half of such a change would leave
//! files that say one thing and a process that does another; so the whole change waits for a restart.

use crate::config::compile::Draft;
use crate::config::snapshot::Gateway;
use portcullis_core::problem::{Path, Segment};

/// Refuses what is not as it is in the process that runs.
pub fn compare(wanted: &Gateway, running: &Gateway, draft: &mut Draft<'_>) {
    let (wanted_edge, running_edge) = (&wanted.edge, &running.edge);
    let keys: [(&[&str], bool); 14] = [
        (&["listen", "ingress"], wanted.ingress == running.ingress),
        (&["listen", "admin"], wanted.admin == running.admin),
        (&["listen", "tls"], wanted.tls.is_some() == running.tls.is_some()),
        (&["journal", "path"], wanted.journal_path == running.journal_path),
        (&["journal", "durability"], wanted.durability == running.durability),
        (&["journal", "deadline"], wanted.journal_deadline == running.journal_deadline),
        (&["state", "path"], wanted.state_path == running.state_path),
        (&["edge", "connections"], wanted_edge.connections == running_edge.connections),
        (&["edge", "header_deadline"], wanted_edge.header_deadline == running_edge.header_deadline),
        (&["edge", "keepalive"], wanted_edge.keepalive == running_edge.keepalive),
        (&["telemetry", "log"], wanted.telemetry.log == running.telemetry.log),
        (&["telemetry", "level"], wanted.telemetry.level == running.telemetry.level),
        (&["drain"], wanted.drain == running.drain),
        (&["threads"], wanted.threads == running.threads),
    ];
    for (keys, same) in keys {
        if !same {
            let path = Path(keys.iter().map(|key| Segment::from(*key)).collect());
            let message = format!("`{}` can't change while the process runs", keys.join("."));
            draft.refuse(
                &path,
                message,
                "restart to change it, or put the old value back; nothing of this change is live",
            );
        }
    }
}
