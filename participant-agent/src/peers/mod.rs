//! The channel between members' agents: HTTP/1.1 over TLS 1.3 with each member's own raw key on both sides.
//!
//! ```text
//!   PeerClient (client.rs) --- TLS 1.3, RFC 7250 raw Ed25519 keys, pinned both ways (tls.rs) ---> serve_peers (server.rs)
//!       pooled connections                                                                       Peer(MemberId) -> warp routes
//!       directory.rs: member <-> TLS key, address                                                stream.rs: deadlines, limits
//! ```
//!
//! - **Security**: a connection ends up with exactly one member of the genesis or does not come about. No session
//!   resumption, so the key is proven on every connection

pub mod client;
pub mod directory;
mod refusals;
pub mod server;
pub mod stream;
pub mod tls;
