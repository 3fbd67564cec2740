//! This machine: the directory, its files and keys, the disk, the ports.
//!
//! - **Errors**: none: what cannot be looked at is a finding

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use riskveil_chain::genesis::Genesis;

use super::{Finding, Text};
use crate::api::auth::{TOKEN_FILE, Tokens};
use crate::config::{CONFIG_FILE, ConfigError, KeyProtection, ValidConfig};
use crate::keystore::{Keystore, KeystoreError};
use crate::{ports, run};

/// Less free disk than this fails, bytes.
pub const LEAST_FREE_BYTES: u64 = 256 << 20;
/// Less free disk than this is worth a look, bytes.
pub const LOW_FREE_BYTES: u64 = 2 << 30;

/// Nobody else may write into the agent's directory.
#[must_use]
pub fn directory(dir: &Path) -> Finding {
    let shown = dir.display();
    match fs::metadata(dir) {
        Err(error) => Finding::failed(
            "directory",
            Text::new(format!("{shown}: {error}"), format!("{shown} 无法访问: {error}")),
            Text::new(
                "name the agent's directory with --dir, or make it with `participant-agent init member`",
                "用 --dir 指定目录, 或用 `participant-agent init member` 创建",
            ),
        ),
        Ok(meta) if meta.permissions().mode() & 0o022 != 0 => {
            let mode = meta.permissions().mode() & 0o777;
            let fix = format!("chmod go-w {shown}");
            Finding::failed(
                "directory",
                Text::new(
                    format!("{shown} can be written by others (mode {mode:o})"),
                    format!("{shown} 可被他人写入 (权限 {mode:o})"),
                ),
                Text::new(format!("run `{fix}`"), format!("执行 `{fix}`")),
            )
        }
        Ok(_) => Finding::ok("directory", Text::new(shown.to_string(), shown.to_string())),
    }
}

/// `agent.toml` was read.
#[must_use]
pub fn configuration(loaded: &Result<ValidConfig, ConfigError>) -> Finding {
    match loaded {
        Ok(config) => {
            let as_of = config.as_of.map_or_else(|| "today".to_owned(), |day| day.to_string());
            let said = format!("{}, business date {as_of}", config.member);
            Finding::ok("configuration", Text::new(said, format!("{}, 营业日 {as_of}", config.member)))
        }
        Err(error) => Finding::failed(
            "configuration",
            Text::new(error.to_string(), error.to_string()),
            Text::new(
                "correct the file; `participant-agent config check --help` lists every key",
                format!("修改 {CONFIG_FILE}; `participant-agent config check --help` 列出所有配置项"),
            ),
        ),
    }
}

/// The token file holds a token for each role and is its owner's alone.
#[must_use]
pub fn tokens(dir: &Path) -> Finding {
    let path = dir.join(TOKEN_FILE);
    if let Some(finding) = open_to_others("tokens", &path) {
        return finding;
    }
    match Tokens::load(&path) {
        Ok(_) => Finding::ok("tokens", Text::new("a token for each role", "每个角色都有令牌")),
        Err(error) => Finding::failed(
            "tokens",
            Text::new(error.to_string(), format!("令牌文件无法使用: {error}")),
            Text::new(
                "restore the file from a backup, or copy the one of a new directory made by `init member`",
                "从备份恢复该文件, 或使用 `init member` 新建目录中的令牌文件",
            ),
        ),
    }
}

/// A secret file that others can read.
fn open_to_others(check: &'static str, path: &Path) -> Option<Finding> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        let (shown, fix) = (path.display(), format!("chmod go= {}", path.display()));
        Finding::failed(
            check,
            Text::new(
                format!("{shown} is open to other users (mode {mode:o})"),
                format!("{shown} 对其他用户开放 (权限 {mode:o})"),
            ),
            Text::new(
                format!("run `{fix}`, and consider what was in it known to them"),
                format!("执行 `{fix}`, 并视其内容已泄露"),
            ),
        )
    })
}

/// Room, and that a file can be written, made durable and removed.
#[must_use]
pub fn disk(dir: &Path) -> Finding {
    if let Err(error) = write_probe(dir) {
        return Finding::failed(
            "disk",
            Text::new(
                format!("nothing can be written to {}: {error}", dir.display()),
                format!("无法写入磁盘: {error}"),
            ),
            Text::new(
                "see that the disk is mounted read-write, has room and belongs to this user",
                "检查磁盘是否可写, 空间是否充足, 属主是否正确",
            ),
        );
    }
    match fs4::available_space(dir) {
        Ok(free) => judge_room(free),
        Err(error) => Finding::failed(
            "disk",
            Text::new(error.to_string(), format!("无法读取磁盘空间: {error}")),
            Text::new("see that the disk is mounted", "检查磁盘是否已挂载"),
        ),
    }
}

/// What so much room means.
#[must_use]
pub fn judge_room(free: u64) -> Finding {
    let mib = free >> 20;
    let detail = Text::new(format!("{mib} MiB free, writing works"), format!("剩余 {mib} MiB, 写入正常"));
    let room = |at_least: u64| {
        Text::new(
            format!("make room for at least {} MiB: the agent stops when its disk is full", at_least >> 20),
            format!("请腾出至少 {} MiB: 磁盘写满时服务会停止", at_least >> 20),
        )
    };
    if free < LEAST_FREE_BYTES {
        Finding::failed("disk", detail, room(LEAST_FREE_BYTES))
    } else if free < LOW_FREE_BYTES {
        Finding::warning("disk", detail, room(LOW_FREE_BYTES))
    } else {
        Finding::ok("disk", detail)
    }
}

fn write_probe(dir: &Path) -> std::io::Result<()> {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&[0; 4096])?;
        file.sync_all()
    });
    // a probe that could not be written is not there to be removed
    let removed = fs::remove_file(&path);
    written.and(removed)
}

/// The genesis is there and holds.
///
/// # Errors
/// The finding, if it does not.
pub fn genesis(dir: &Path) -> Result<(Genesis, Finding), Finding> {
    match run::read_genesis(dir) {
        Ok(genesis) => {
            let said = format!("network {}, chain {}", genesis.network, genesis.chain_id());
            let chinese = format!("网络 {}, 链 {}", genesis.network, genesis.chain_id());
            Ok((genesis, Finding::ok("genesis", Text::new(said, chinese))))
        }
        Err(error) => Err(Finding::failed(
            "genesis",
            Text::new(error.to_string(), format!("创世文件无法使用: {error}")),
            Text::new(
                format!("copy the consortium's {} into the directory and compare its chain id", run::GENESIS_FILE),
                format!("将联盟的 {} 复制到该目录并核对链编号", run::GENESIS_FILE),
            ),
        )),
    }
}

/// Every secret file is its owner's alone, the store opened, and the genesis names its keys.
#[must_use]
pub fn keys(
    dir: &Path,
    config: &ValidConfig,
    genesis: Option<&Genesis>,
    opened: &Result<Keystore, KeystoreError>,
) -> Vec<Finding> {
    let secret = match config.key_protection {
        KeyProtection::File => "kek",
        KeyProtection::Passphrase => "kek.salt",
    };
    let folder = dir.join("keys");
    let mut paths: Vec<PathBuf> = vec![folder.join(secret), folder.join("members.sealed"), folder.join("periods")];
    paths.extend(fs::read_dir(folder.join("periods")).into_iter().flatten().flatten().map(|entry| entry.path()));
    let mut findings: Vec<Finding> = paths.iter().filter_map(|path| open_to_others("keys", path)).collect();
    match opened {
        Err(error) => findings.push(Finding::failed(
            "keys",
            Text::new(error.to_string(), format!("密钥无法打开: {error}")),
            Text::new(
                "restore keys/ from a backup, or give the right passphrase in the file that RISKVEIL_PASSPHRASE_FILE names",
                "从备份恢复 keys/, 或通过 RISKVEIL_PASSPHRASE_FILE 提供正确口令",
            ),
        )),
        Ok(keystore) => {
            if findings.is_empty() {
                findings.push(Finding::ok("keys", Text::new("open, and their owner's alone", "可打开, 权限正确")));
            }
            if let Some(genesis) = genesis {
                findings.push(own_entry(genesis, config, keystore));
            }
        }
    }
    findings
}

fn own_entry(genesis: &Genesis, config: &ValidConfig, keystore: &Keystore) -> Finding {
    match run::own_entry(genesis, config, keystore) {
        Ok(member) => {
            let roles = member.roles;
            let named = [
                (roles.lender, "lender"),
                (roles.publisher, "publisher"),
                (roles.validator, "validator"),
                (roles.regulator, "regulator"),
            ];
            let named: Vec<&str> = named.into_iter().filter_map(|(has, name)| has.then_some(name)).collect();
            let roles = named.join(", ");
            Finding::ok(
                "member",
                Text::new(format!("the genesis names these keys: {roles}"), format!("与创世文件中的公钥一致: {roles}")),
            )
        }
        Err(error) => Finding::failed(
            "member",
            Text::new(error.to_string(), format!("与创世文件不符: {error}")),
            Text::new(
                "use the genesis that this member.toml went into, or the directory whose keys it names",
                "请使用包含本 member.toml 的创世文件, 或其公钥对应的目录",
            ),
        ),
    }
}

/// The three ports: free while the agent is stopped, listened on while it runs.
pub fn ports(config: &ValidConfig, running: bool) -> Finding {
    let wanted = [
        (config.api_listen, "api_listen in agent.toml"),
        (config.peer_listen, "peer_listen in agent.toml"),
        (config.engine_listen, "engine_listen in agent.toml"),
    ];
    for (address, setting) in wanted {
        let trouble = if running { silent(address, setting) } else { taken(address, setting) };
        if let Some(finding) = trouble {
            return finding;
        }
    }
    if running {
        Finding::ok("ports", Text::new("the running agent listens on all three", "三个端口均由运行中的服务监听"))
    } else {
        Finding::ok("ports", Text::new("free; the agent is stopped", "空闲; 服务未运行"))
    }
}

fn taken(address: SocketAddr, setting: &'static str) -> Option<Finding> {
    let error = ports::check_free(address, setting).err()?;
    Some(Finding::failed(
        "ports",
        Text::new(error.to_string(), format!("端口 {address} 不可用: {error}")),
        Text::new(
            format!("find its owner with `ss -ltnp 'sport = {}'`", address.port()),
            format!("用 `ss -ltnp 'sport = {}'` 查找占用者, 或修改 {setting}", address.port()),
        ),
    ))
}

/// An address that nothing listens on; found without connecting, which the agent would log as a refused handshake.
fn silent(address: SocketAddr, setting: &'static str) -> Option<Finding> {
    ports::check_free(address, setting).ok()?;
    Some(Finding::failed(
        "ports",
        Text::new(
            format!("the agent runs, but nothing listens on {address} ({setting})"),
            format!("服务在运行, 但 {address} 无监听 ({setting})"),
        ),
        Text::new(
            "the configuration was changed while it ran, or it is stopping: restart it and read its log",
            "运行中修改了配置, 或服务正在停止: 请重启并查看日志",
        ),
    ))
}
