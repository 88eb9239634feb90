//! The UUID of a service: version 5 of RFC 9562, from the host and the binary of the service. Cinder gives each service a
//! random one, which the volumes on its host show.

use uuid::Uuid;

/// The bytes that are hashed together.
const BLOCK: usize = 64;

/// Returns the UUID of the volume service that runs a host. A host names a pool after `#`.
#[must_use]
pub fn service_uuid(host: &str) -> Uuid {
    let backend = host.split_once('#').map_or(host, |(backend, _)| backend);
    let name = [Uuid::NAMESPACE_DNS.as_bytes(), backend.as_bytes(), b"cinder-volume"].concat();
    let mut bytes = [0; 16];
    for (byte, own) in bytes.iter_mut().zip(sha1(&name).iter().flat_map(|word| word.to_be_bytes())) {
        *byte = own;
    }
    uuid::Builder::from_sha1_bytes(bytes).into_uuid()
}

/// Returns the words of a SHA-1 digest (FIPS 180-4). It names things here, and protects nothing.
#[expect(clippy::many_single_char_names, reason = "the names of the standard")]
fn sha1(message: &[u8]) -> [u32; 5] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % BLOCK != BLOCK - 8 {
        padded.push(0);
    }
    let bits = u64::try_from(message.len()).unwrap_or_default().wrapping_mul(8);
    padded.extend(bits.to_be_bytes());
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks_exact(BLOCK) {
        let mut words = [0_u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = bytes.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        }
        for at in 16..80 {
            words[at] = (words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.into_iter().enumerate() {
            let (mixed, constant) = match at {
                0..20 => ((b & c) | (!b & d), 0x5a82_7999_u32),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (word, mixed) in state.iter_mut().zip([a, b, c, d, e]) {
            *word = word.wrapping_add(mixed);
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_standard() {
        assert_eq!(sha1(b"abc"), [0xa999_3e36, 0x4706_816a, 0xba3e_2571, 0x7850_c26c, 0x9cd0_d89d]);
        let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(sha1(long), [0x8498_3e44, 0x1c3b_d26e, 0xbaae_4aa1, 0xf951_29e5, 0xe546_70f1]);
    }

    /// Vector `readonly-shown`.
    #[test]
    fn pools_of_one_host_have_one_service() {
        let expected = "381a2c1c-deac-5b0d-b85b-468d437c1db0";
        assert_eq!(service_uuid("host1@lvm#pool").to_string(), expected);
        assert_eq!(service_uuid("host1@lvm").to_string(), expected);
    }
}
