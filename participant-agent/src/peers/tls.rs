//! TLS 1.3 with raw Ed25519 public keys (RFC 7250) both ways, pinned to the members' keys; no X.509.
//!
//! - **Shapes**: a raw key on the wire is a SubjectPublicKeyInfo of 44 bytes: 12 fixed, 32 of the key (RFC 8410 section 4)
//! - **Security**: the server accepts the TLS keys of the directory and nothing else; the client accepts the one key of the
//!   member it calls. TLS 1.2, other signature schemes and session resumption are off. A refused client learns of it at its
//!   first read
//! - **Source**: RFC 7250, RFC 8446, RFC 8410; DESIGN.md section 3, "Peer channels"

use std::fmt;
use std::sync::Arc;

use riskveil_crypto::{SecretBytes, SigningKey, VerifyingKey};
use riskveil_exchange::ids::MemberId;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme, version,
};
use zeroize::Zeroizing;

use super::directory::Directory;

/// SubjectPublicKeyInfo of an Ed25519 key, before its 32 bytes.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// PKCS #8 version 1 of an Ed25519 seed, before its 32 bytes.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// This member's TLS key, ready to sign handshakes.
#[derive(Clone)]
pub struct TlsIdentity {
    key: Arc<CertifiedKey>,
    public: VerifyingKey,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({})", self.public)
    }
}

/// The TLS library refuses its own parameters or the key; a fault of this build.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsSetupFailed(#[from] Error);

impl TlsIdentity {
    /// The identity of a 32-byte Ed25519 seed.
    ///
    /// # Errors
    /// [`TlsSetupFailed`] if the TLS library takes no Ed25519 key.
    pub fn from_seed(seed: &SecretBytes<32>) -> Result<Self, TlsSetupFailed> {
        let public = SigningKey::from_seed(seed.clone()).verifying_key();
        let mut pkcs8 = Zeroizing::new([0; PKCS8_PREFIX.len() + 32]);
        pkcs8[..PKCS8_PREFIX.len()].copy_from_slice(&PKCS8_PREFIX);
        seed.expose(|bytes| pkcs8[PKCS8_PREFIX.len()..].copy_from_slice(bytes));
        let signer = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice()))?;
        let raw = CertificateDer::from([SPKI_PREFIX.as_slice(), public.as_bytes()].concat());
        Ok(Self { key: Arc::new(CertifiedKey::new(vec![raw], signer)), public })
    }

    /// The public key that others pin.
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        self.public
    }

    /// Accepts connections of the directory's members.
    ///
    /// # Errors
    /// [`TlsSetupFailed`].
    pub fn server_config(&self, directory: Arc<Directory>) -> Result<Arc<ServerConfig>, TlsSetupFailed> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pins = Arc::new(Pins { allowed: Allowed::Members(directory), provider: provider.clone() });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])?
            .with_client_cert_verifier(pins)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.key.clone())));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Connects to the one server that holds `server_key`.
    ///
    /// # Errors
    /// [`TlsSetupFailed`].
    pub fn client_config(&self, server_key: VerifyingKey) -> Result<Arc<ClientConfig>, TlsSetupFailed> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pins = Arc::new(Pins { allowed: Allowed::One(server_key), provider: provider.clone() });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(pins)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(self.key.clone())));
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// Which member of the directory is at the other end of an accepted connection.
#[must_use]
pub fn peer_of(connection: &CommonState, directory: &Directory) -> Option<MemberId> {
    let raw = connection.peer_certificates()?.first()?;
    directory.by_tls_key(&raw_key(raw)?).cloned()
}

fn raw_key(raw: &CertificateDer<'_>) -> Option<[u8; 32]> {
    raw.as_ref().strip_prefix(&SPKI_PREFIX)?.try_into().ok()
}

#[derive(Debug)]
enum Allowed {
    Members(Arc<Directory>),
    One(VerifyingKey),
}

/// Accepts the allowed raw keys and checks that the other side holds the secret half.
#[derive(Debug)]
struct Pins {
    allowed: Allowed,
    provider: Arc<CryptoProvider>,
}

impl Pins {
    fn check(&self, raw: &CertificateDer<'_>) -> Result<(), Error> {
        let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let key = raw_key(raw).ok_or(refused.clone())?;
        let known = match &self.allowed {
            Allowed::Members(directory) => directory.by_tls_key(&key).is_some(),
            Allowed::One(expected) => *expected.as_bytes() == key,
        };
        if known { Ok(()) } else { Err(refused) }
    }

    fn check_signature(
        &self,
        message: &[u8],
        raw: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(raw.as_ref()),
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
}

impl ClientCertVerifier for Pins {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        raw: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, raw, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        raw: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, raw, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
