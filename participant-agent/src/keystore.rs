//! The only file that turns secrets into stored bytes and back.
//!
//! - **Place**: `init member` creates, `run` opens; period keys come and go with their periods
//! - **Shapes**: `keys/kek` 32 bytes, or `keys/kek.salt` 16; `keys/members.sealed` = AES-256-GCM of
//!   `version u8 | identity 32 | TLS 32 | engine 32 | regulator u8 | y 32 | seal 32`; `keys/periods/p<period>-s<serial>.sealed`
//!   = AES-256-GCM of an OPRF key, 32
//! - **Invariants**: files are written whole (beside, fsync, rename) with mode 0600; a period key is on disk when
//!   [`Keystore::store_period_key`] returns and overwritten before it is unlinked
//! - **Errors**: [`KeystoreError`] (the operator; each text says what to do)
//! - **Security**: nothing prints or leaves in the clear; a key file others can read is refused. Overwriting reaches the disk
//!   blocks only where the file system writes in place; the docs claim honest erasure, not more
//! - **Source**: DESIGN.md sections 3 ("at rest", "Forgetting") and 10 ("Audit key")

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::rngs::OsRng;
use rand::{CryptoRng, RngCore};
use riskveil_crypto::at_rest::{AtRestKey, KeyEncryptionKey};
use riskveil_crypto::escrow::AuditKeyPair;
use riskveil_crypto::oprf::server::OprfSecretKey;
use riskveil_crypto::seal::SealSecretKey;
use riskveil_crypto::{Digest32, SecretBytes, SigningKey, VerifyingKey};
use riskveil_exchange::ids::Period;
use zeroize::Zeroizing;

use crate::config::KeyProtection;
use crate::dst;

/// Environment variable that names the file with the passphrase.
pub const PASSPHRASE_FILE_VARIABLE: &str = "RISKVEIL_PASSPHRASE_FILE";
/// `version | three seeds | flag | y | seal`.
const MEMBERS_LEN: usize = 1 + 3 * 32 + 1 + 2 * 32;
const MEMBERS_VERSION: u8 = 1;

/// The three keys of every member.
#[derive(Clone, Debug)]
pub struct MemberKeys {
    /// Signs transactions, requests, responses.
    pub identity: SigningKey,
    /// Seed of the TLS key.
    pub tls_seed: SecretBytes<32>,
    /// Seed of the consensus engine's key.
    pub engine_seed: SecretBytes<32>,
}

/// The public halves of [`MemberKeys`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKeys {
    /// Verifies transactions, requests, responses.
    pub identity: VerifyingKey,
    /// Pinned by peers.
    pub tls: VerifyingKey,
    /// The engine's.
    pub engine: VerifyingKey,
}

impl MemberKeys {
    /// The public halves.
    #[must_use]
    pub fn public(&self) -> PublicKeys {
        PublicKeys {
            identity: self.identity.verifying_key(),
            tls: SigningKey::from_seed(self.tls_seed.clone()).verifying_key(),
            engine: SigningKey::from_seed(self.engine_seed.clone()).verifying_key(),
        }
    }
}

/// What a regulator holds besides.
#[derive(Debug)]
pub struct RegulatorKeys {
    /// The escrow key y of audit key 0.
    pub audit: AuditKeyPair,
    /// The HPKE key that requests and log windows are sealed to.
    pub seal: SealSecretKey,
}

/// What opens the key store.
#[derive(Debug)]
pub enum Unlock {
    /// The key file `keys/kek`.
    KeyFile,
    /// A passphrase.
    Passphrase(Passphrase),
}

/// A passphrase; does not print, cleared when dropped.
pub struct Passphrase(Zeroizing<String>);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// A key store that cannot be made, opened or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// A file is not there.
    #[error("{} is missing; restore keys/ from a backup, or make a new member with `participant-agent init member`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A key file is open to others.
    #[error("{} can be read by others (mode {mode:o}); run `chmod 600 {}`", path.display(), path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is a key store already.
    #[error("{} exists already; nothing was overwritten", path.display())]
    AlreadyThere {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase opens nothing.
    #[error("the passphrase is wrong (or {} is damaged)", path.display())]
    WrongPassphrase {
        /// The file it should open.
        path: PathBuf,
    },
    /// The key file opens nothing.
    #[error("keys/kek does not open {}; restore both from the same backup", path.display())]
    WrongKeyFile {
        /// The file it should open.
        path: PathBuf,
    },
    /// There is nobody to ask for the passphrase.
    #[error("a passphrase is needed: name a file with it in RISKVEIL_PASSPHRASE_FILE, or run on a terminal")]
    NoPassphrase,
    /// Empty, or not the same twice.
    #[error("the passphrase is empty, or the two entries differ")]
    PassphraseRefused,
    /// A file has not the shape of what it should hold.
    #[error("{} is damaged or from another version; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Unlock {
    /// What the configuration asks for; a passphrase comes from the file that [`PASSPHRASE_FILE_VARIABLE`] names or, on a
    /// terminal, from a prompt (asked twice when `confirm` is true).
    ///
    /// # Errors
    /// [`KeystoreError::NoPassphrase`], [`KeystoreError::PassphraseRefused`], [`KeystoreError::Io`].
    pub fn obtain(protection: KeyProtection, confirm: bool) -> Result<Self, KeystoreError> {
        match protection {
            KeyProtection::File => Ok(Self::KeyFile),
            KeyProtection::Passphrase => passphrase(confirm).map(|text| Self::Passphrase(Passphrase(text))),
        }
    }

    /// A passphrase that is at hand.
    #[must_use]
    pub fn passphrase(text: Zeroizing<String>) -> Self {
        Self::Passphrase(Passphrase(text))
    }
}

fn passphrase(confirm: bool) -> Result<Zeroizing<String>, KeystoreError> {
    if let Some(path) = std::env::var_os(PASSPHRASE_FILE_VARIABLE).map(PathBuf::from) {
        let text =
            fs::read_to_string(&path).map(Zeroizing::new).map_err(|source| KeystoreError::Io { path, source })?;
        return accept_passphrase(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    if !io::stdin().is_terminal() {
        return Err(KeystoreError::NoPassphrase);
    }
    let ask =
        |prompt: &str| rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|_| KeystoreError::NoPassphrase);
    let text = ask("Passphrase of the key store: ")?;
    if confirm && *ask("The same again: ")? != *text {
        return Err(KeystoreError::PassphraseRefused);
    }
    accept_passphrase(text)
}

fn accept_passphrase(text: Zeroizing<String>) -> Result<Zeroizing<String>, KeystoreError> {
    if text.is_empty() { Err(KeystoreError::PassphraseRefused) } else { Ok(text) }
}

/// An open key store.
#[derive(Debug)]
pub struct Keystore {
    keys_dir: PathBuf,
    kek: KeyEncryptionKey,
    member: MemberKeys,
    regulator: Option<RegulatorKeys>,
}

impl Keystore {
    /// Makes `dir/keys` with fresh keys; a regulator's too when `regulator` is set.
    ///
    /// # Errors
    /// [`KeystoreError::AlreadyThere`] if there are keys; [`KeystoreError::Io`].
    pub fn create(
        dir: &Path,
        unlock: &Unlock,
        regulator: bool,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, KeystoreError> {
        let keys_dir = dir.join("keys");
        let members = keys_dir.join("members.sealed");
        if members.exists() {
            return Err(KeystoreError::AlreadyThere { path: members });
        }
        let periods = keys_dir.join("periods");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&periods)
            .map_err(|source| KeystoreError::Io { path: periods, source })?;
        let kek = match unlock {
            Unlock::KeyFile => {
                let kek = KeyEncryptionKey::random(rng);
                kek.to_secret_bytes().expose(|bytes| store(&keys_dir.join("kek"), bytes))?;
                kek
            }
            Unlock::Passphrase(Passphrase(text)) => {
                let mut salt = [0; 16];
                rng.fill_bytes(&mut salt);
                let kek = KeyEncryptionKey::from_passphrase(text.as_bytes(), &salt)
                    .map_err(|_| KeystoreError::PassphraseRefused)?;
                store(&keys_dir.join("kek.salt"), &salt)?;
                kek
            }
        };
        let member = MemberKeys {
            identity: SigningKey::generate(rng),
            tls_seed: SecretBytes::random(rng),
            engine_seed: SecretBytes::random(rng),
        };
        let regulator =
            regulator.then(|| RegulatorKeys { audit: AuditKeyPair::generate(rng), seal: SealSecretKey::generate(rng) });
        let plaintext = encode_members(&member, regulator.as_ref());
        store(&members, &kek.purpose_key(dst::MEMBER_KEYS, b"").seal(b"members", plaintext.as_slice(), rng))?;
        Ok(Self { keys_dir, kek, member, regulator })
    }

    /// Opens `dir/keys`.
    ///
    /// # Errors
    /// [`KeystoreError`]: missing, open to others, wrong passphrase or key file, damaged.
    pub fn open(dir: &Path, unlock: &Unlock) -> Result<Self, KeystoreError> {
        let keys_dir = dir.join("keys");
        let members = keys_dir.join("members.sealed");
        let kek = match unlock {
            Unlock::KeyFile => {
                let path = keys_dir.join("kek");
                let bytes = load_private(&path)?;
                let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| KeystoreError::Damaged { path })?;
                KeyEncryptionKey::from_key_file(SecretBytes::from_bytes(bytes))
            }
            Unlock::Passphrase(Passphrase(text)) => {
                let path = keys_dir.join("kek.salt");
                let salt: [u8; 16] =
                    load_private(&path)?.as_slice().try_into().map_err(|_| KeystoreError::Damaged { path })?;
                KeyEncryptionKey::from_passphrase(text.as_bytes(), &salt)
                    .map_err(|_| KeystoreError::PassphraseRefused)?
            }
        };
        let sealed = load_private(&members)?;
        let plaintext = kek.purpose_key(dst::MEMBER_KEYS, b"").open(b"members", &sealed).map_err(|_| match unlock {
            Unlock::KeyFile => KeystoreError::WrongKeyFile { path: members.clone() },
            Unlock::Passphrase(_) => KeystoreError::WrongPassphrase { path: members.clone() },
        })?;
        let (member, regulator) = decode_members(&plaintext).ok_or(KeystoreError::Damaged { path: members })?;
        Ok(Self { keys_dir, kek, member, regulator })
    }

    /// The member's three keys.
    #[must_use]
    pub fn member(&self) -> &MemberKeys {
        &self.member
    }

    /// The regulator's keys, if this member is one.
    #[must_use]
    pub fn regulator(&self) -> Option<&RegulatorKeys> {
        self.regulator.as_ref()
    }

    /// The key of the journal of this name.
    #[must_use]
    pub fn journal_key(&self, name: &str) -> AtRestKey {
        self.kek.purpose_key(dst::JOURNAL, name.as_bytes())
    }

    /// The key of what a lender keeps of one check.
    #[must_use]
    pub fn check_key(&self, core_digest: &Digest32) -> AtRestKey {
        self.kek.purpose_key(dst::CHECK_EVIDENCE, core_digest.as_bytes())
    }

    /// Stores the OPRF key of a period; on disk when this returns. Storing the same key again changes nothing.
    ///
    /// # Errors
    /// [`KeystoreError::AlreadyThere`] for another key of the same period and serial; [`KeystoreError::Io`].
    pub fn store_period_key(&self, period: Period, serial: u32, key: &OprfSecretKey) -> Result<(), KeystoreError> {
        let (name, path) = self.period_file(period, serial);
        if let Some(held) = self.period_key(period, serial)? {
            let same = held.public_key() == key.public_key();
            return if same { Ok(()) } else { Err(KeystoreError::AlreadyThere { path }) };
        }
        let at_rest = self.kek.purpose_key(dst::PERIOD_KEY, name.as_bytes());
        let sealed = key.to_secret_bytes().expose(|bytes| at_rest.seal(name.as_bytes(), bytes, &mut OsRng));
        store(&path, &sealed)
    }

    /// The OPRF key of a period, if it is held.
    ///
    /// # Errors
    /// [`KeystoreError::Damaged`], [`KeystoreError::Io`].
    pub fn period_key(&self, period: Period, serial: u32) -> Result<Option<OprfSecretKey>, KeystoreError> {
        let (name, path) = self.period_file(period, serial);
        let sealed = match load_private(&path) {
            Ok(sealed) => sealed,
            Err(KeystoreError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = || KeystoreError::Damaged { path: path.clone() };
        let at_rest = self.kek.purpose_key(dst::PERIOD_KEY, name.as_bytes());
        let plaintext = at_rest.open(name.as_bytes(), &sealed).map_err(|_| damaged())?;
        let bytes: [u8; 32] = plaintext.as_slice().try_into().map_err(|_| damaged())?;
        OprfSecretKey::from_bytes(&SecretBytes::from_bytes(bytes)).map(Some).map_err(|_| damaged())
    }

    /// Periods and serials of the OPRF keys held, ascending.
    ///
    /// # Errors
    /// [`KeystoreError::Io`].
    pub fn period_keys(&self) -> Result<Vec<(Period, u32)>, KeystoreError> {
        let dir = self.keys_dir.join("periods");
        let io = |source| KeystoreError::Io { path: dir.clone(), source };
        let mut held = Vec::new();
        for entry in fs::read_dir(&dir).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let parsed =
                name.to_str().and_then(|name| name.strip_prefix('p')?.strip_suffix(".sealed")?.split_once("-s"));
            if let Some((period, serial)) = parsed
                && let (Ok(period), Ok(serial)) = (period.parse(), serial.parse())
            {
                held.push((Period(period), serial));
            }
        }
        held.sort_unstable();
        Ok(held)
    }

    /// Overwrites and unlinks the OPRF key of a period; nothing happens if it is not held.
    ///
    /// # Errors
    /// [`KeystoreError::Io`]; the key may then still be on disk.
    pub fn destroy_period_key(&self, period: Period, serial: u32) -> Result<(), KeystoreError> {
        let (_, path) = self.period_file(period, serial);
        let overwrite = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).open(&path)?;
            let mut noise = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
            OsRng.fill_bytes(&mut noise);
            file.write_all(&noise)?;
            file.sync_all()?;
            fs::remove_file(&path)?;
            sync_parent(&path)
        };
        match overwrite() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(KeystoreError::Io { path, source: error }),
            _ => Ok(()),
        }
    }

    fn period_file(&self, period: Period, serial: u32) -> (String, PathBuf) {
        let name = format!("p{:010}-s{serial:05}", period.0);
        let path = self.keys_dir.join("periods").join(format!("{name}.sealed"));
        (name, path)
    }
}

/// Writes a file with mode 0600 beside its place, makes it durable and renames it into place.
///
/// # Errors
/// The system's.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    // a bare name stands in the current directory
    let dir = path.parent().map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
    dir.map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn store(path: &Path, bytes: &[u8]) -> Result<(), KeystoreError> {
    write_private(path, bytes).map_err(|source| KeystoreError::Io { path: path.to_owned(), source })
}

fn load_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeystoreError::Missing { path: path.to_owned() },
        _ => KeystoreError::Io { path: path.to_owned(), source },
    };
    let mode = fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeystoreError::OpenToOthers { path: path.to_owned(), mode });
    }
    fs::read(path).map(Zeroizing::new).map_err(io)
}

fn encode_members(member: &MemberKeys, regulator: Option<&RegulatorKeys>) -> Zeroizing<[u8; MEMBERS_LEN]> {
    let mut plaintext = Zeroizing::new([0; MEMBERS_LEN]);
    let mut put =
        |at: usize, secret: &SecretBytes<32>| secret.expose(|bytes| plaintext[at..at + 32].copy_from_slice(bytes));
    put(1, &member.identity.seed());
    put(33, &member.tls_seed);
    put(65, &member.engine_seed);
    if let Some(regulator) = regulator {
        put(98, &regulator.audit.to_secret_bytes());
        put(130, &regulator.seal.to_secret_bytes());
    }
    plaintext[0] = MEMBERS_VERSION;
    plaintext[97] = u8::from(regulator.is_some());
    plaintext
}

fn decode_members(plaintext: &[u8]) -> Option<(MemberKeys, Option<RegulatorKeys>)> {
    if plaintext.len() != MEMBERS_LEN || plaintext[0] != MEMBERS_VERSION {
        return None;
    }
    let secret = |at: usize| plaintext.get(at..at + 32)?.try_into().ok().map(SecretBytes::from_bytes);
    let member =
        MemberKeys { identity: SigningKey::from_seed(secret(1)?), tls_seed: secret(33)?, engine_seed: secret(65)? };
    let regulator = match plaintext[97] {
        0 => None,
        1 => Some(RegulatorKeys {
            audit: AuditKeyPair::from_bytes(&secret(98)?).ok()?,
            seal: SealSecretKey::from_bytes(secret(130)?),
        }),
        _ => return None,
    };
    Some((member, regulator))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Unlock {
        Unlock::passphrase(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn keys_come_back_as_they_were_made_and_are_not_readable_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let made = Keystore::create(dir.path(), &Unlock::KeyFile, true, &mut OsRng).unwrap();
        let opened = Keystore::open(dir.path(), &Unlock::KeyFile).unwrap();
        assert_eq!(made.member().public(), opened.member().public());
        let (before, after) = (made.regulator().unwrap(), opened.regulator().unwrap());
        assert_eq!(before.audit.public(), after.audit.public());
        assert_eq!(before.seal.public(), after.seal.public());
        let sealed = fs::read(dir.path().join("keys/members.sealed")).unwrap();
        made.member().tls_seed.expose(|seed| assert!(!sealed.windows(32).any(|window| window == seed)));
        let again = Keystore::create(dir.path(), &Unlock::KeyFile, true, &mut OsRng);
        assert!(matches!(again, Err(KeystoreError::AlreadyThere { .. })));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Keystore::create(dir.path(), &passphrase("correct horse"), true, &mut OsRng).unwrap();
        let printed = format!("{store:?} {:?} {:?}", passphrase("correct horse"), store.journal_key("queries"));
        assert!(!printed.contains("horse"));
        store.member().tls_seed.expose(|seed| assert!(!printed.contains(&hex::encode(seed))));
        store.member().identity.seed().expose(|seed| assert!(!printed.contains(&hex::encode(seed))));
    }

    #[test]
    fn a_wrong_passphrase_a_wrong_key_file_and_a_missing_file_are_one_clear_sentence_each() {
        let dir = tempfile::tempdir().unwrap();
        Keystore::create(dir.path(), &passphrase("correct horse"), false, &mut OsRng).unwrap();
        Keystore::open(dir.path(), &passphrase("correct horse")).unwrap();
        let wrong = Keystore::open(dir.path(), &passphrase("battery staple")).unwrap_err();
        assert!(wrong.to_string().starts_with("the passphrase is wrong (or "), "{wrong}");
        let other = tempfile::tempdir().unwrap();
        Keystore::create(other.path(), &Unlock::KeyFile, false, &mut OsRng).unwrap();
        let missing = Keystore::open(dir.path(), &Unlock::KeyFile).unwrap_err();
        assert!(missing.to_string().contains("keys/kek is missing; restore keys/"), "{missing}");
        fs::copy(other.path().join("keys/kek"), dir.path().join("keys/kek")).unwrap();
        assert!(matches!(Keystore::open(dir.path(), &Unlock::KeyFile), Err(KeystoreError::WrongKeyFile { .. })));
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Keystore::create(dir.path(), &Unlock::KeyFile, false, &mut OsRng).unwrap();
        let kek = dir.path().join("keys/kek");
        assert_eq!(fs::metadata(&kek).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&kek, Permissions::from_mode(0o644)).unwrap();
        let error = Keystore::open(dir.path(), &Unlock::KeyFile).unwrap_err().to_string();
        assert!(error.contains("(mode 644); run `chmod 600 "), "{error}");
    }

    #[test]
    fn a_period_key_is_stored_once_bound_to_its_place_and_gone_when_destroyed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Keystore::create(dir.path(), &Unlock::KeyFile, false, &mut OsRng).unwrap();
        let (key, other) = (OprfSecretKey::generate(&mut OsRng), OprfSecretKey::generate(&mut OsRng));
        assert!(store.period_key(Period(3), 0).unwrap().is_none());
        store.store_period_key(Period(3), 0, &key).unwrap();
        store.store_period_key(Period(3), 0, &key).unwrap();
        assert!(matches!(store.store_period_key(Period(3), 0, &other), Err(KeystoreError::AlreadyThere { .. })));
        let held = Keystore::open(dir.path(), &Unlock::KeyFile).unwrap().period_key(Period(3), 0).unwrap().unwrap();
        assert_eq!(held.public_key(), key.public_key());
        let file = |name: &str| dir.path().join("keys/periods").join(name);
        fs::copy(file("p0000000003-s00000.sealed"), file("p0000000004-s00000.sealed")).unwrap();
        assert!(matches!(store.period_key(Period(4), 0), Err(KeystoreError::Damaged { .. })));
        assert_eq!(store.period_keys().unwrap(), [(Period(3), 0), (Period(4), 0)]);
        store.destroy_period_key(Period(3), 0).unwrap();
        store.destroy_period_key(Period(3), 0).unwrap();
        assert!(store.period_key(Period(3), 0).unwrap().is_none());
        assert_eq!(store.period_keys().unwrap(), [(Period(4), 0)]);
    }
}
