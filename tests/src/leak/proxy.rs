//! A loopback TCP proxy that keeps every byte of both directions.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Recorded = Arc<Mutex<Vec<Arc<Mutex<Vec<u8>>>>>>;

/// A proxy in front of one address; it runs until the process ends.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    recorded: Recorded,
}

impl Proxy {
    /// Listens on a free loopback port and passes everything to `target`.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, recorded) = (listener.local_addr()?, Recorded::default());
        let records = recorded.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A target that is not up yet looks to the client like the proxy hanging up.
                let Ok(server) = TcpStream::connect(target) else { continue };
                let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { continue };
                pass(client, server_too, &records);
                pass(server, client_too, &records);
            }
        });
        Ok(Self { address, recorded })
    }

    /// One byte string per connection and direction, so far.
    #[must_use]
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        let records = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().map(|one| one.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, records: &Recorded) {
    let record = Arc::new(Mutex::new(Vec::new()));
    records.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
    // Whoever sends small messages waits for none of them.
    let _ = to.set_nodelay(true);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            record.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        // The other side may have hung up already.
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    });
}
