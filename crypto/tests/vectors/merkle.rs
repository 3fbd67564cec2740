//! RFC 6962 / RFC 9162 trees: roots, every inclusion and consistency proof, and attacks on them.

use riskveil_crypto::{
    Digest32,
    digest::sha256,
    merkle::{
        ConsistencyProof, EMPTY, InclusionProof, MerkleTree, leaf_hash, node_hash, prove_absence, root, root_of_hashes,
        verify_absence,
    },
};
use serde_json::Value;

use crate::support::{Count, bytes, digest, json, list, str};

#[test]
fn rfc6962_trees() {
    let file = json("rfc6962_trees.json");
    let leaves: Vec<Vec<u8>> = list(&file["leaf_inputs_hex"]).iter().map(bytes).collect();
    for (leaf, hash) in leaves.iter().zip(list(&file["leaf_hashes"])) {
        assert_eq!(leaf_hash(leaf), digest(hash));
    }
    let mut count = Count::default();
    roots(&file, &leaves, &mut count);
    proofs(&file, &leaves, &mut count);
    count.expect("RFC 6962 trees of 0 to 8 leaves", 9 + 36 + 36, 0);

    let file = &file["tree33"];
    let leaves: Vec<Vec<u8>> = (0..33).map(|i| sha256(format!("leaf-{i}").as_bytes()).as_bytes().to_vec()).collect();
    let mut count = Count::default();
    roots(file, &leaves, &mut count);
    proofs(file, &leaves, &mut count);
    count.expect("tree of 33 leaves", 23, 0);
}

fn roots(file: &Value, leaves: &[Vec<u8>], count: &mut Count) {
    for (size, expected) in file["roots_by_size"].as_object().unwrap() {
        assert_eq!(root(&leaves[..size.parse().unwrap()]), digest(expected), "{size} leaves");
        count.run += 1;
    }
}

fn proofs(file: &Value, leaves: &[Vec<u8>], count: &mut Count) {
    let hashes: Vec<Digest32> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let digests = |path: &Value| -> Vec<Digest32> { path.as_array().unwrap().iter().map(digest).collect() };
    for case in list(&file["inclusion"]) {
        let tree = &hashes[..case["tree_size"].as_u64().unwrap() as usize];
        let index = case["leaf_index"].as_u64().unwrap();
        let proof = InclusionProof::prove(tree, index).unwrap();
        assert_eq!(proof.path, digests(&case["path"]), "{case}");
        proof.verify(&root_of_hashes(tree), &tree[index as usize]).unwrap();
        count.run += 1;
    }
    for case in list(&file["consistency"]) {
        let old_size = case["size1"].as_u64().unwrap();
        let new = &hashes[..case["size2"].as_u64().unwrap() as usize];
        let proof = ConsistencyProof::prove(new, old_size).unwrap();
        assert_eq!(proof.path, digests(&case["proof"]), "{case}");
        let old_root = root_of_hashes(&new[..old_size as usize]);
        proof.verify(&old_root, &root_of_hashes(new)).unwrap();
        count.run += 1;
    }
}

#[test]
fn rfc6962_proofs_and_attacks() {
    let cases = &json("rfc6962_merkle_proofs.json")["cases"];
    let mut count = Count::default();
    for case in list(&cases["inclusion"]) {
        let verified = (|| {
            let proof = InclusionProof {
                index: case["leafIdx"].as_u64()?,
                size: case["treeSize"].as_u64()?,
                path: path(&case["proof"])?,
            };
            let (root, leaf) = (base64(&case["root"])?, base64(&case["leafHash"])?);
            proof.verify(&root, &leaf).ok()
        })();
        assert_eq!(verified.is_none(), case["wantErr"].as_bool().unwrap(), "{case}");
        count.run += 1;
    }
    for case in list(&cases["consistency"]) {
        let verified = (|| {
            let proof = ConsistencyProof {
                old_size: case["size1"].as_u64()?,
                new_size: case["size2"].as_u64()?,
                path: path(&case["proof"])?,
            };
            let (old, new) = (base64(&case["root1"])?, base64(&case["root2"])?);
            proof.verify(&old, &new).ok()
        })();
        // Equal "roots" of other than 32 bytes are accepted there; our type cannot hold them.
        if case["wantErr"] == false && base64(&case["root1"]).is_none() {
            count.skipped += 1;
            continue;
        }
        assert_eq!(verified.is_none(), case["wantErr"].as_bool().unwrap(), "{case}");
        count.run += 1;
    }
    count.expect("transparency-dev inclusion and consistency", 195, 1);
}

fn path(value: &Value) -> Option<Vec<Digest32>> {
    value.as_array().map_or(Some(Vec::new()), |path| path.iter().map(base64).collect())
}

/// A digest in standard base64; none if it is not 32 bytes, which our type refuses.
fn base64(value: &Value) -> Option<Digest32> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut buffer, mut bits) = (Vec::new(), 0u32, 0);
    for byte in str(value).trim_end_matches('=').bytes() {
        let sextet = ALPHABET.iter().position(|letter| *letter == byte).unwrap();
        buffer = buffer << 6 | sextet as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((buffer >> bits) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    out.try_into().ok().map(Digest32::new)
}

#[test]
fn root_equals_that_of_a_naive_stack() {
    let hashes: Vec<Digest32> = (0..200u32).map(|i| leaf_hash(&i.to_be_bytes())).collect();
    for size in 0..=hashes.len() {
        let mut stack: Vec<(usize, Digest32)> = Vec::new();
        for hash in &hashes[..size] {
            let mut top = (1, *hash);
            while stack.last().is_some_and(|(leaves, _)| *leaves == top.0) {
                let (leaves, left) = stack.pop().unwrap();
                top = (2 * leaves, node_hash(&left, &top.1));
            }
            stack.push(top);
        }
        let naive = stack.into_iter().map(|(_, hash)| hash).rev();
        let naive = naive.reduce(|right, left| node_hash(&left, &right)).unwrap_or(EMPTY);
        assert_eq!(root_of_hashes(&hashes[..size]), naive, "{size} leaves");
    }
    assert_eq!(EMPTY, sha256(b""));
}

#[test]
fn asking_for_a_leaf_or_tree_that_is_not_there_is_refused() {
    let hashes = [leaf_hash(b"a"), leaf_hash(b"b")];
    assert!(InclusionProof::prove(&hashes, 2).is_err());
    assert!(InclusionProof::prove(&[], 0).is_err());
    assert!(ConsistencyProof::prove(&hashes, 0).is_err());
    assert!(ConsistencyProof::prove(&hashes, 3).is_err());
}

/// The first two bytes of a leaf, or what there is of them.
#[test]
fn a_tree_in_memory_has_the_root_and_every_path_of_the_recursion() {
    for size in (0..=70).chain([127, 128, 129, 1000]) {
        let hashes: Vec<Digest32> = (0..size as u32).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let tree = MerkleTree::new(hashes.clone());
        assert_eq!((tree.root(), tree.size()), (root_of_hashes(&hashes), size));
        for index in 0..size {
            assert_eq!(tree.prove(index), InclusionProof::prove(&hashes, index));
        }
        assert!(tree.prove(size).is_err() && tree.prove(u64::MAX).is_err());
    }
}

fn key(leaf: &[u8]) -> &[u8] {
    leaf.get(..2).unwrap_or(leaf)
}

/// Leaves with the even keys from 2 to 2 * size, and a payload.
fn even_leaves(size: u16) -> Vec<Vec<u8>> {
    (1..=size).map(|i| [(2 * i).to_be_bytes().to_vec(), vec![0xaa; 3]].concat()).collect()
}

#[test]
fn absence_is_shown_for_every_missing_key_and_no_present_one() {
    for size in [0u16, 1, 2, 3, 7, 8, 9] {
        let leaves = even_leaves(size);
        let tree = root(&leaves);
        for candidate in 0..=2 * size + 3 {
            let wanted = candidate.to_be_bytes();
            let present = candidate % 2 == 0 && candidate >= 2 && candidate <= 2 * size;
            match prove_absence(&leaves, &wanted, key) {
                Ok(proof) => {
                    assert!(!present);
                    verify_absence(&tree, size.into(), &wanted, key, &proof).unwrap();
                    let wrong_size = u64::from(size) + 1;
                    assert!(verify_absence(&tree, wrong_size, &wanted, key, &proof).is_err());
                    let other = leaf_hash(b"another tree");
                    assert!(verify_absence(&other, size.into(), &wanted, key, &proof).is_err());
                }
                Err(refused) => {
                    assert!(present);
                    assert_eq!(refused.index, u64::from(candidate / 2 - 1));
                }
            }
        }
    }
}

#[test]
fn absence_proofs_with_a_gap_or_an_edge_elsewhere_are_refused() {
    let leaves = even_leaves(8);
    let tree = root(&leaves);
    let prove = |wanted: u16| prove_absence(&leaves, &wanted.to_be_bytes(), key).unwrap();
    let refused = |wanted: u16, proof| verify_absence(&tree, 8, &wanted.to_be_bytes(), key, &proof).is_err();
    // Neighbours that are not adjacent would hide the key 6 between them.
    let mut wide = prove(5);
    wide.after = prove(7).after;
    assert!(refused(6, wide.clone()));
    assert!(refused(5, wide));
    // A proof for another gap; a neighbour that has the key itself.
    assert!(refused(9, prove(5)));
    assert!(refused(4, prove(5)));
    assert!(refused(6, prove(5)));
    // An edge that is none: one neighbour left out.
    let mut headless = prove(5);
    headless.before = None;
    assert!(refused(5, headless));
    let mut tailless = prove(5);
    tailless.after = None;
    assert!(refused(5, tailless));
    let mut nothing = prove(5);
    (nothing.before, nothing.after) = (None, None);
    assert!(refused(5, nothing));
    // A leaf that is not in the tree, with a path of one that is.
    let mut forged = prove(5);
    forged.after.as_mut().unwrap().leaf[4] ^= 1;
    assert!(refused(5, forged));
    // Swapped sides.
    let mut swapped = prove(5);
    std::mem::swap(&mut swapped.before, &mut swapped.after);
    assert!(refused(5, swapped));
}
