import Foundation
import Glibc

/// Starting programs.
enum Spawn {
    /// What the program leads: a group of its own in this session, or a session. By the flags of <spawn.h>.
    enum Leading: Int32 {
        case group = 0x02
        case session = 0x80
    }

    /// Starts a program with the built `semq` in PATH, no signal blocked or handled, and these descriptors alone.
    /// - Parameters:
    ///   - environment: what differs from this process's.
    ///   - descriptors: says where 0, 1 and 2 lead.
    static func start(
        _ words: [String], in folder: String, leading: Leading, environment: [String: String],
        descriptors: (inout posix_spawn_file_actions_t) -> Void
    ) throws -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        let flags = leading.rawValue | Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF)
        posix_spawnattr_setflags(&attributes, Int16(flags))
        let bin = URL(fileURLWithPath: Sandbox.binary).deletingLastPathComponent().path
        var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("SEMQ_") }
        variables["PATH"] = bin + ":" + (variables["PATH"] ?? "/usr/bin:/bin")
        variables.merge(environment) { $1 }
        // env(1) changes the folder and becomes the program: the process stays the same.
        return try start(
            "/usr/bin/env", ["env", "-C", folder] + words, variables, &attributes, descriptors: descriptors)
    }

    /// Starts a program as this one is, with these descriptors alone.
    static func start(
        _ program: String, _ words: [String], _ environment: [String: String],
        _ attributes: UnsafePointer<posix_spawnattr_t>?, descriptors: (inout posix_spawn_file_actions_t) -> Void
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        descriptors(&actions)
        // What some other test has open just now is none of its business. glibc's closefrom for this isn't declared to
        // Swift; to close what isn't open is no error here.
        for descriptor in 3..<min(1024, getdtablesize()) { posix_spawn_file_actions_addclose(&actions, descriptor) }
        var arguments = words.map { strdup($0) } + [nil]
        var strings = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for string in arguments + strings { free(string) } }
        var child: pid_t = 0
        let error = posix_spawn(&child, program, &actions, attributes, &arguments, &strings)
        guard error == 0 else { throw POSIXError(POSIXErrorCode(rawValue: error) ?? .EIO) }
        return child
    }
}
