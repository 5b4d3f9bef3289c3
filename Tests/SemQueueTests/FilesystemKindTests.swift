import Testing

@testable import SemQueue

/// Which file systems a queue may lie on, by their numbers in statfs(2) and linux/magic.h.
@Suite struct FilesystemKindTests {
    @Test(arguments: [
        (0xEF53, "ext4"), (0x5846_5342, "xfs"), (0x9123_683E, "btrfs"), (0x0102_1994, "tmpfs"), (0x8584_58F6, "ramfs"),
        (0xF2F5_2010, "f2fs"), (0x2FC1_2FC1, "zfs"),
    ]) func localOnes(_ magic: Int64, _ name: String) {
        #expect(Filesystem.kind(magic: magic) == .local(name))
    }

    @Test(arguments: [
        (0x6969, "NFS"), (0x517B, "SMB"), (0xFE53_4D42, "SMB"), (0xFF53_4D42, "SMB"), (0x0102_1997, "9p"),
        (0x00C3_6400, "Ceph"), (0x5346_414F, "AFS"), (0x6B41_4653, "AFS"), (0x7461_636F, "OCFS2"),
        (0x0116_1970, "GFS2"), (0x6573_5546, "FUSE"), (0x0BD0_0BD0, "Lustre"),
    ]) func thoseBetweenMachines(_ magic: Int64, _ name: String) {
        #expect(Filesystem.kind(magic: magic) == .network(name))
    }

    @Test func overlayAndOnesThatNobodyKnows() {
        #expect(Filesystem.kind(magic: 0x794C_7630) == .overlay)
        // vfat, nilfs, and one that is not there yet.
        for magic: UInt32 in [0x4D44, 0x3434, 0x1234_5678] {
            #expect(Filesystem.kind(magic: Int64(magic)) == .unknown(magic))
        }
    }

    /// Where `f_type` is a signed word of 32 bits, a number from 2³¹ on comes with its sign.
    @Test func theSignOfAWordIsNoPartOfTheNumber() {
        for magic: UInt32 in [0xFE53_4D42, 0x9123_683E, 0x8584_58F6] {
            #expect(
                Filesystem.kind(magic: Int64(Int32(bitPattern: magic))) == Filesystem.kind(magic: Int64(magic)))
        }
    }
}
