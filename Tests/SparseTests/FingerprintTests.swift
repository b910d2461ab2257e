// The house's hash against published values, Python's `mmh3`, and a plain second writing of it; the
// group in which digests are summed.
import Sparse
import TestSupport
import Testing

@Suite struct FingerprintTests {
  /// mmh3.hash64(bytes((i * 37 + 11) % 256 for i in range(n)), 0, x64arch=True), high word first, n = 0...49.
  static let vectors = [
    "00000000000000000000000000000000",
    "7a434b816c4508dc932fc7cce617f1e7",
    "8549c3b277c47536cff7e5ae5471b39d",
    "0cdcf4fb816ab2436afac0b8de81a4b1",
    "8f4cf22ad9a420cdd3a4eed1b81f9f72",
    "ad93f9759963f50bb0330f40087f990b",
    "4b5791ad3829937e32d1f10b04077a12",
    "a08f38dfaa7ff6f98340cc686662983b",
    "d02221832d7af9a1f0b144007f89ced7",
    "cbde24182efe09a9dbb3088eaec8a0b1",
    "7a1ac716596298b07fc82ef8fd4f371e",
    "c5c7129b727fc1d6ce105a4d0920d564",
    "de304d589b0ddbf811eea59fafc3bbb8",
    "f34ba40d12f9b27e3c0bc0c7790cc4e7",
    "27302e3cea75fb094af05278beeea171",
    "49ca338fe7701fac2906f047b67f83ff",
    "885aae87bb6c5ff7da9c66580c5ef0fb",
    "e36790301698fce078b8ee9a775e07d1",
    "16d1b21eec8d67ac5022ece9b605f7d8",
    "3d2b31d643027caf40591a6345e2fd5e",
    "a65eec4ab46824eef85aeb21888559f3",
    "93818c98df190fa82c128c13418db6f3",
    "6dfadfaec1dcf534c0ffc3389f035072",
    "5ad5c324b9edfa9901b7d4fb84dc53aa",
    "e8f405aaf3f01b038372e2feeb61eb1c",
    "704bb843bd5ff913ed9e2943729d5da2",
    "628fa90e86818db59fcd422e337cdec4",
    "e3a5ff0398ea8b76454a6a1202a0fd74",
    "82b2e058cfa3ecdac2ea419f1d4c02de",
    "bef6e3ba00dbfc062ab2e5425a3cf241",
    "3e2a6a483ba0dd7cfde530955c73468b",
    "cb6926489e7b3763b1ca061ed4c5532f",
    "3a5200924dcdd6ffaf7374eb8efe799b",
    "15c06fbdb5df8af908b88a88c3099ba9",
    "c970e3964acebd9446e6fbb70374f1b8",
    "a38faf048c7c13063db6d4b9af498f9f",
    "1c67089590905310aee3ca841fccf7f7",
    "4b78961252ae7b6cff4d3072c71df4b3",
    "437d03b403801e495003e0c3f8da178f",
    "836db813dc4ac3f8244221d812da51c7",
    "15f2951b4c05748bbf77aa22e65e7cfc",
    "9e44ee6c0d43348dafe61046cef62299",
    "766e59761c045fbdd399755800b2c22d",
    "e4ad81f93aee697a1849de9708ba69d7",
    "a4c797d79cda74ace80b60a506ce9e24",
    "0054e34b69e7aef6d951dce034a50505",
    "68b905305af3fb4f35b3562a44e85065",
    "9c4db2d1fe929fe09c44bcfc4e0f366b",
    "60b65c120177ad6c5fbe7eca19a4e9ed",
    "888c97d125fad632981db8505dbafb36",
  ]

  static func hash(_ bytes: [UInt8]) -> Fingerprint { bytes.withUnsafeBytes { Fingerprint(of: $0) } }

  @Test func equalsMmh3() {
    for (n, want) in FingerprintTests.vectors.enumerated() {
      let bytes = (0..<n).map { UInt8(($0 * 37 + 11) % 256) }
      #expect(FingerprintTests.hash(bytes).hex == want)
      #expect(PlainHash.of(bytes).hex == want)
    }
    // smhasher's and Guava's example; low word first there: e34bbc7bbc071b6c 7a433ca9c49a9347.
    #expect(
      Fingerprint(of: "The quick brown fox jumps over the lazy dog").hex
        == "7a433ca9c49a9347e34bbc7bbc071b6c")
    #expect(Fingerprint(of: "sku-\u{e9}").hex == "8b66575a7bfc75df93ffb6d8066a3388")
  }

  @Test func equalsThePlainHashAtAnyAddress() {
    let seed: UInt64 = 11
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    for _ in 0..<2000 {
      let bytes = (0..<random.below(100)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      let shift = random.below(8)
      let padded = [UInt8](repeating: 7, count: shift) + bytes
      let got = padded.withUnsafeBytes {
        Fingerprint(of: UnsafeRawBufferPointer(rebasing: $0[shift...]))
      }
      #expect(got.hex == PlainHash.of(bytes).hex)
    }
  }

  @Test func entriesAreTheHashOf48Bytes() {
    var random = SplitMix(seed: 12)
    for _ in 0..<1000 {
      let words = (0..<6).map { _ in random.next() }
      let got = Fingerprint(
        Fingerprint(low: words[0], high: words[1]), Fingerprint(low: words[2], high: words[3]),
        words[4], words[5])
      #expect(got.hex == PlainHash.of(words.flatMap { littleEndian($0) }).hex)
    }
  }

  @Test func sumsAreAGroup() {
    var random = SplitMix(seed: 13)
    let extremes: [UInt64] = [0, 1, .max, .max - 1, 1 << 63]
    func word() -> UInt64 {
      random.below(3) == 0 ? extremes[random.below(extremes.count)] : random.next()
    }
    for _ in 0..<2000 {
      let a = Fingerprint(low: word(), high: word())
      let b = Fingerprint(low: word(), high: word())
      let wide: UInt128 =
        (UInt128(a.high) << 64 | UInt128(a.low)) &+ (UInt128(b.high) << 64 | UInt128(b.low))
      var sum = a
      sum &+= b
      #expect(UInt128(sum.high) << 64 | UInt128(sum.low) == wide)
      sum &-= b
      #expect(sum == a)
    }
    #expect(Fingerprint(low: 0x0a, high: 1).hex == "0000000000000001000000000000000a")
  }
}
