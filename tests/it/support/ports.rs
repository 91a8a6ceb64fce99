//! Ports for programs that must be told theirs beforehand. What can choose its own is given port 0 instead.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// How many ports a process of tests has to give; what it counts from depends on its number.
const EACH: u16 = 100;

/// A port that is free and stays so: below those that the system gives to whoever asks for any (32768 and above on Linux,
/// `net.ipv4.ip_local_port_range`), and given to no other test of this process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * EACH;
    for _ in 0..EACH {
        let port = first + NEXT.fetch_add(1, Ordering::SeqCst) % EACH;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {first} to {} is free", first + EACH - 1);
}
