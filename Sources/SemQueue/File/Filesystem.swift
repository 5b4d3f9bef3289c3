internal import CSemQueue

/// Which file systems keep the locks that a queue rests on.
enum Filesystem {
    enum Kind: Equatable {
        /// Locks hold between all processes of this machine.
        case local(String)
        /// Locks hold, but the file is this container's own.
        case overlay
        /// Shared between machines, which may not see each other's locks.
        case network(String)
        case unknown(UInt32)
    }

    /// By the magic numbers of statfs(2).
    static func kind(magic: Int64) -> Kind {
        switch UInt32(truncatingIfNeeded: magic) {
        case 0xEF53: .local("ext4")
        case 0x5846_5342: .local("xfs")
        case 0x9123_683E: .local("btrfs")
        case 0x0102_1994: .local("tmpfs")
        case 0x8584_58F6: .local("ramfs")
        case 0xF2F5_2010: .local("f2fs")
        case 0x2FC1_2FC1: .local("zfs")
        case 0xCA45_1A4E: .local("bcachefs")
        case 0x3153_464A: .local("jfs")
        case 0x5265_4973: .local("reiserfs")
        case 0x794C_7630: .overlay
        case 0x6969: .network("NFS")
        case 0xFF53_4D42, 0xFE53_4D42, 0x517B: .network("SMB")
        case 0x0102_1997: .network("9p")
        case 0x00C3_6400: .network("Ceph")
        case 0x5346_414F, 0x6B41_4653: .network("AFS")
        case 0x7461_636F: .network("OCFS2")
        case 0x0116_1970: .network("GFS2")
        case 0x6573_5546: .network("FUSE")
        case 0x0BD0_0BD0: .network("Lustre")
        case let other: .unknown(other)
        }
    }

    static func check(_ description: Description, path: String, any: Bool) throws(SemaphoreError) {
        guard !any else { return }
        let advice =
            "; put the queue on a disk of the machine that owns the thing and take turns there (by ssh), "
            + "or say --any-filesystem where you know that its locks hold"
        switch kind(magic: semq_filesystem(description.descriptor)) {
        case .local, .overlay: return
        case .network(let name):
            throw SemaphoreError(
                .unusable, "\(path): lies on \(name), where locks may not hold between machines\(advice)")
        case .unknown(let magic):
            throw SemaphoreError(
                .unusable,
                "\(path): lies on a file system (0x\(String(magic, radix: 16))) that is not known to keep locks\(advice)"
            )
        }
    }
}
