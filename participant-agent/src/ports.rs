//! Listening ports: a taken one is one sentence that names the port and the setting behind it.
//!
//! - **Errors**: [`PortError`] (whoever set the address: choose another)

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

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

/// `count` different loopback ports that were free a moment ago.
///
/// # Errors
/// The system's, when it has no port left.
pub fn free_loopback_ports(count: usize) -> io::Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
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
    fn free_ports_differ_and_can_be_bound() {
        let ports = free_loopback_ports(8).unwrap();
        let distinct: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(distinct.len(), 8);
        check_free((Ipv4Addr::LOCALHOST, ports[0]).into(), "--base-port").unwrap();
    }
}
