//! Listening ports: a taken one is one sentence that names the port and the setting behind it.
//!
//! - **Errors**: [`PortError`] (whoever set the address: choose another)

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rand::Rng;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// Another process listens there.
    #[error("port {} of {} is already in use; stop its owner or change {setting}", address.port(), address.ip())]
    InUse {
        /// The address.
        address: SocketAddr,
        /// The configuration field or flag that names it.
        setting: &'static str,
    },
    /// The system refuses for another reason (no such interface, a privileged port).
    #[error("cannot listen on {address} ({setting}): {source}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The configuration field or flag that names it.
        setting: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens on `address`, which `setting` names; non-blocking, as tokio wants it.
///
/// # Errors
/// [`PortError`] names the address and the setting.
pub fn listen(address: SocketAddr, setting: &'static str) -> Result<TcpListener, PortError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => PortError::InUse { address, setting },
        _ => PortError::Refused { address, setting, source },
    })
}

/// Shows that `address` could be listened on now, for a port that something else will bind.
///
/// # Errors
/// As [`listen`].
pub fn check_free(address: SocketAddr, setting: &'static str) -> Result<(), PortError> {
    listen(address, setting).map(drop)
}

/// Below the ports that Linux gives to outgoing connections (32768 and above): what is free here stays free until it is used.
const LISTENING_PORTS: Range<u16> = 10_000..32_000;
/// Blocks of ports that are tried before there is none.
const TRIES: usize = 1000;

/// The first of `count` loopback ports in a row that are free; a block is given once in a process.
///
/// # Errors
/// The system's, when no block of this length is found.
pub fn free_base_port(count: u16) -> io::Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for _ in 0..TRIES {
        let base = rand::thread_rng().gen_range(LISTENING_PORTS.start..LISTENING_PORTS.end.saturating_sub(count));
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        let block = base..base + count;
        if given.range(block.clone()).next().is_some() {
            continue;
        }
        match block.clone().try_for_each(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop)) {
            Ok(()) => {
                given.extend(block);
                return Ok(base);
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_its_setting() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = held.local_addr().unwrap();
        let error = check_free(address, "api_listen in agent.toml").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "port {} of 127.0.0.1 is already in use; stop its owner or change api_listen in agent.toml",
                address.port()
            )
        );
    }

    #[test]
    fn free_blocks_do_not_overlap_and_can_be_bound() {
        let (first, second) = (free_base_port(8).unwrap(), free_base_port(8).unwrap());
        assert!(first.abs_diff(second) >= 8);
        for port in (first..first + 8).chain(second..second + 8) {
            check_free((Ipv4Addr::LOCALHOST, port).into(), "--base-port").unwrap();
        }
    }
}
