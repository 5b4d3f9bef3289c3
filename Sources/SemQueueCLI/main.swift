internal import CSemQueue
internal import Glibc
internal import SemQueue

// No async main and no Dispatch: the guardian is forked from a process with one thread.
semq_restore_environment()
StandardDescriptors.fill()
do {
    exit(try Command.run(Arguments.all).rawValue)
} catch let asked as HelpAsked {
    Terminal.print(try! Help.text(for: asked.command))  // a command that exists has its text
    exit(0)
} catch let error as SemaphoreError {
    Terminal.say(error.message)
    exit(ExitCode(error.code).rawValue)
}
