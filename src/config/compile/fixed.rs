//! What a reload can't change, because it was used when the process started. Taking half of such a change would leave
//! files that say one thing and a process that does another; so the whole change waits for a restart.

use crate::config::compile::Draft;
use crate::config::snapshot::Gateway;
use crate::secrets::Secret;
use portcullis_core::problem::{Path, Segment};
use std::path::PathBuf;

/// Refuses what is not as it is in the process that runs.
pub fn compare(wanted: &Gateway, running: &Gateway, draft: &mut Draft<'_>) {
    let (wanted_edge, running_edge) = (&wanted.edge, &running.edge);
    let keys: [(&[&str], bool); 20] = [
        (&["listen", "ingress"], wanted.ingress == running.ingress),
        (&["listen", "admin"], wanted.admin == running.admin),
        (&["listen", "tls"], wanted.tls.is_some() == running.tls.is_some()),
        (&["journal", "path"], wanted.journal.path == running.journal.path),
        (&["journal", "durability"], wanted.journal.durability == running.journal.durability),
        (&["journal", "deadline"], wanted.journal.deadline == running.journal.deadline),
        (&["journal", "max_bytes"], wanted.journal.max_bytes == running.journal.max_bytes),
        (&["journal", "keep"], wanted.journal.keep == running.journal.keep),
        (&["journal", "checkpoints"], checkpoints(wanted) == checkpoints(running)),
        (&["state", "path"], wanted.state_path == running.state_path),
        (&["work", "store"], wanted.work_store == running.work_store),
        (&["jobs", "workers"], wanted.jobs.workers == running.jobs.workers),
        (&["jobs", "lease"], wanted.jobs.lease.0 == running.jobs.lease.0),
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

/// Where checkpoints go and what signs them.
fn checkpoints(gateway: &Gateway) -> (Option<&PathBuf>, Option<&String>) {
    let journal = &gateway.journal;
    (journal.checkpoint_file.as_ref(), journal.checkpoint_key.as_ref().map(Secret::expose))
}
