# SPDX-License-Identifier: Apache-2.0
"""What a program can try on a read-only tree: each operation by name, with its outcome as text.

run(root) expects root/dir/hello (may be read by all), root/dir/secret (by its owner only) and changes
nothing. The outcome is "ok", an errno's name, or what the operation found out. Call it in a process of
its own: it changes directory and tries execve(2).
"""

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import stat
import struct
import tempfile

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW = -100, 0x1000, 0x100
SYS_OPENAT2, SYS_NAME_TO_HANDLE_AT, SYS_STATX = 437, 303, 332


def call(function, *arguments):
    """A function of libc; its result, or OSError."""
    result = function(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def opened(path, flags, mode=0o600, dir_fd=None):
    os.close(os.open(path, flags, mode, dir_fd=dir_fd))


def with_fd(path, function, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    try:
        return function(fd)
    finally:
        os.close(fd)


def in_child(function):
    """How a child process that runs function() ends."""
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            signal.signal(signal.SIGBUS, signal.SIG_DFL)
            code = function() or 0
        except OSError as error:
            code = error.errno
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    code = os.WEXITSTATUS(status)
    return errno.errorcode.get(code, "ok")


def open_operations(d, f):
    names = """O_RDONLY O_WRONLY O_RDWR O_TRUNC O_APPEND O_PATH O_NOFOLLOW O_NOATIME O_SYNC O_NONBLOCK
        O_DIRECT O_DSYNC O_CLOEXEC O_ASYNC O_NOCTTY"""
    for name in names.split():
        yield f"open {name}", lambda flag=getattr(os, name): opened(f, flag)
    yield "open O_RDONLY|O_TRUNC", lambda: opened(f, os.O_RDONLY | os.O_TRUNC)
    yield "open O_RDWR|O_TRUNC", lambda: opened(f, os.O_RDWR | os.O_TRUNC)
    yield "open mode 3", lambda: opened(f, 3)
    yield "open O_DIRECTORY file", lambda: opened(f, os.O_DIRECTORY)
    yield "open dir", lambda: opened(d, os.O_RDONLY)
    yield "open dir O_DIRECTORY", lambda: opened(d, os.O_DIRECTORY)
    yield "open dir O_WRONLY", lambda: opened(d, os.O_WRONLY)
    yield "open dir O_PATH", lambda: opened(d, os.O_PATH)
    yield "open dir O_CREAT", lambda: opened(d, os.O_CREAT)
    yield "open O_CREAT existing", lambda: opened(f, os.O_CREAT)
    yield "open O_CREAT|O_RDWR existing", lambda: opened(f, os.O_CREAT | os.O_RDWR)
    yield "open O_CREAT|O_EXCL existing", lambda: opened(f, os.O_CREAT | os.O_EXCL)
    yield "open O_CREAT new", lambda: opened(f"{d}/new", os.O_CREAT | os.O_WRONLY)
    yield "open O_CREAT|O_EXCL new", lambda: opened(f"{d}/new", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    yield "open O_CREAT below file", lambda: opened(f"{f}/new", os.O_CREAT | os.O_WRONLY)
    yield "open O_CREAT name/", lambda: opened(f"{d}/new/", os.O_CREAT | os.O_WRONLY)
    yield "open missing", lambda: opened(f"{d}/nope", 0)
    yield "open missing O_WRONLY", lambda: opened(f"{d}/nope", os.O_WRONLY)
    yield "open missing O_DIRECTORY", lambda: opened(f"{d}/nope", os.O_DIRECTORY)
    yield "open missing O_PATH", lambda: opened(f"{d}/nope", os.O_PATH)
    yield "O_TMPFILE", lambda: opened(d, os.O_TMPFILE | os.O_RDWR)
    for resolve, bits in {"BENEATH": 8, "NO_SYMLINKS": 4, "NO_XDEV": 1, "IN_ROOT": 16, "CACHED": 32}.items():
        how = struct.pack("QQQ", os.O_RDONLY, 0, bits)
        yield f"openat2 RESOLVE_{resolve}", lambda how=how: with_fd(
            d, lambda fd: os.close(call(libc.syscall, SYS_OPENAT2, fd, b"hello", how, len(how)))
        )


def path_operations(d, f):
    yield "stat file", lambda: shape(os.stat(f))
    yield "stat dir", lambda: shape(os.stat(d), size=False)
    yield "stat root", lambda: shape(os.stat(os.path.dirname(d)), size=False)
    yield "stat secret", lambda: shape(os.stat(f"{d}/secret"))
    yield "stat missing", lambda: os.stat(f"{d}/nope")
    yield "stat empty path", lambda: os.stat("")
    yield "file/", lambda: os.stat(f"{f}/")
    yield "file/x", lambda: os.stat(f"{f}/x")
    yield "file/..", lambda: os.stat(f"{f}/..")
    yield "dir/.", lambda: shape(os.stat(f"{d}/."), size=False)
    yield "dir/..", lambda: shape(os.stat(f"{d}/.."), size=False)
    yield "missing/x", lambda: os.stat(f"{d}/nope/x")
    yield "//", lambda: shape(os.stat(f.replace("/hello", "//hello")))
    yield "name255", lambda: os.stat(f"{d}/" + "a" * 255)
    yield "name256", lambda: os.stat(f"{d}/" + "a" * 256)
    yield "name256 open", lambda: opened(f"{d}/" + "a" * 256, 0)
    yield "name256 O_CREAT", lambda: opened(f"{d}/" + "a" * 256, os.O_CREAT | os.O_WRONLY)
    yield "name300 mkdir", lambda: os.mkdir(f"{d}/" + "a" * 300)
    yield "path4096", lambda: os.stat(d + "/." * 2048)
    yield "access F", lambda: str(os.access(f, os.F_OK))
    yield "access R", lambda: str(os.access(f, os.R_OK))
    yield "access W", lambda: str(os.access(f, os.W_OK))
    yield "access X", lambda: str(os.access(f, os.X_OK))
    yield "access dir R", lambda: str(os.access(d, os.R_OK))
    yield "access dir W", lambda: str(os.access(d, os.W_OK))
    yield "access dir X", lambda: str(os.access(d, os.X_OK))
    yield "access missing", lambda: str(os.access(f"{d}/nope", os.F_OK))
    yield "access secret R", lambda: str(os.access(f"{d}/secret", os.R_OK))
    yield "open secret", lambda: opened(f"{d}/secret", 0)
    yield "readlink file", lambda: os.readlink(f)
    yield "readlink dir", lambda: os.readlink(d)
    yield "listdir", lambda: " ".join(sorted(os.listdir(d)))
    yield "listdir file", lambda: os.listdir(f)
    yield "types in dir", lambda: " ".join(sorted(e.name + str(e.is_file()) for e in os.scandir(d)))
    yield "chdir", lambda: os.chdir(d) or os.stat("hello") and None
    yield "chdir file", lambda: os.chdir(f)
    yield "statx sync", lambda: call(libc.syscall, SYS_STATX, AT_FDCWD, f.encode(), 0x2000, 0x7FF, bytes(256)) and None
    yield "O_PATH fstat", lambda: with_fd(f, lambda fd: shape(os.fstat(fd)), os.O_PATH)
    yield "O_PATH read", lambda: with_fd(f, lambda fd: os.read(fd, 1), os.O_PATH)
    yield "reopen /proc/self/fd", lambda: with_fd(f, lambda fd: opened(f"/proc/self/fd/{fd}", 0))
    yield "reopen for writing", lambda: with_fd(f, lambda fd: opened(f"/proc/self/fd/{fd}", os.O_RDWR))


def shape(st, size=True):
    """What of a stat must agree: type, mode, owner, links of a file, size."""
    links = st.st_nlink if stat.S_ISREG(st.st_mode) else "-"
    return f"{st.st_mode:o} {st.st_uid}:{st.st_gid} {links} {st.st_size if size else '-'} {st.st_rdev}"


def change_operations(d, f):
    yield "mkdir", lambda: os.mkdir(f"{d}/n")
    yield "mkdir exist", lambda: os.mkdir(f)
    yield "mkdir below file", lambda: os.mkdir(f"{f}/n")
    yield "mkdir below missing", lambda: os.mkdir(f"{d}/nope/n")
    yield "rmdir file", lambda: os.rmdir(f)
    yield "rmdir dir", lambda: os.rmdir(d)
    yield "rmdir missing", lambda: os.rmdir(f"{d}/nope")
    yield "rmdir .", lambda: os.rmdir(f"{d}/.")
    yield "rmdir root", lambda: os.rmdir(os.path.dirname(d))
    yield "unlink", lambda: os.unlink(f)
    yield "unlink dir", lambda: os.unlink(d)
    yield "unlink missing", lambda: os.unlink(f"{d}/nope")
    yield "rename", lambda: os.rename(f, f"{d}/z")
    yield "rename missing", lambda: os.rename(f"{d}/nope", f"{d}/z")
    yield "rename dir", lambda: os.rename(d, f"{d}z")
    yield "rename to itself", lambda: os.replace(f, f)
    yield "rename out", lambda: os.rename(f, f"/dev/shm/hushfs-{os.getpid()}")
    yield "rename in", lambda: os.rename("/proc/self/exe", f"{d}/z")
    for name, flag in {"NOREPLACE": 1, "EXCHANGE": 2, "WHITEOUT": 4}.items():
        yield f"renameat2 {name}", lambda flag=flag: call(
            libc.renameat2, AT_FDCWD, f.encode(), AT_FDCWD, f"{d}/secret".encode(), flag
        )
    yield "link", lambda: os.link(f, f"{d}/z")
    yield "link out", lambda: os.link(f, f"/dev/shm/hushfs-{os.getpid()}")
    yield "link existing", lambda: os.link(f, f"{d}/secret")
    yield "symlink", lambda: os.symlink("x", f"{d}/z")
    yield "symlink existing", lambda: os.symlink("x", f)
    yield "mknod", lambda: os.mknod(f"{d}/z")
    yield "mknod existing", lambda: os.mknod(f)
    yield "mkfifo", lambda: os.mkfifo(f"{d}/z")
    yield "mknod device", lambda: os.mknod(f"{d}/z", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    yield "chmod", lambda: os.chmod(f, 0o600)
    yield "chmod dir", lambda: os.chmod(d, 0o700)
    yield "chmod missing", lambda: os.chmod(f"{d}/nope", 0o600)
    yield "chown", lambda: os.chown(f, 0, 0)
    yield "lchown", lambda: os.lchown(f, 0, 0)
    yield "truncate", lambda: os.truncate(f, 0)
    yield "truncate dir", lambda: os.truncate(d, 0)
    yield "truncate longer", lambda: os.truncate(f, 1 << 20)
    yield "utime", lambda: os.utime(f)
    yield "utime times", lambda: os.utime(f, (1, 1))
    yield "utime dir", lambda: os.utime(d)
    yield "mount over missing", lambda: call(libc.mount, b"x", f"{d}/nope".encode(), b"tmpfs", 0, None)
    yield "chroot missing", lambda: os.chroot(f"{d}/nope")


def xattr_operations(d, f):
    yield "setxattr user", lambda: os.setxattr(f, "user.a", b"x")
    yield "setxattr trusted", lambda: os.setxattr(f, "trusted.a", b"x")
    yield "setxattr unknown", lambda: os.setxattr(f, "unknown.a", b"x")
    yield "removexattr", lambda: os.removexattr(f, "user.a")
    for name in "user.a security.capability security.selinux trusted.a system.posix_acl_access unknown.a".split():
        yield f"getxattr {name}", lambda name=name: os.getxattr(f, name)
        yield f"getxattr dir {name}", lambda name=name: os.getxattr(d, name)
    yield "getxattr missing file", lambda: os.getxattr(f"{d}/nope", "user.a")
    yield "listxattr", lambda: " ".join(sorted(os.listxattr(f)))
    yield "listxattr dir", lambda: " ".join(sorted(os.listxattr(d)))
    yield "set acl", lambda: os.setxattr(f, "system.posix_acl_access", struct.pack("<I", 2))


def fd_operations(d, f):
    fd = os.open(f, os.O_RDONLY)
    size = os.fstat(fd).st_size
    yield "read", lambda: str(len(os.pread(fd, 65536, 0)))
    yield "read EOF", lambda: str(len(os.pread(fd, 10, 1 << 40)))
    yield "read at the end", lambda: str(len(os.pread(fd, 10, size)))
    yield "pread neg", lambda: os.pread(fd, 1, -1)
    yield "preadv NOWAIT", lambda: os.preadv(fd, [bytearray(4)], 0, 8) and None
    yield "write RO fd", lambda: os.write(fd, b"x")
    yield "pwrite RO fd", lambda: os.pwrite(fd, b"x", 0)
    yield "lseek end", lambda: str(os.lseek(fd, 0, 2) == size)
    yield "lseek neg", lambda: os.lseek(fd, -1, 0)
    yield "lseek beyond", lambda: str(os.lseek(fd, 1 << 40, 0))
    yield "lseek whence", lambda: os.lseek(fd, 0, 9)
    yield "SEEK_HOLE", lambda: str(os.lseek(fd, 0, os.SEEK_HOLE) == size)
    yield "SEEK_DATA", lambda: str(os.lseek(fd, 0, os.SEEK_DATA))
    yield "SEEK_DATA beyond", lambda: os.lseek(fd, size + 1, os.SEEK_DATA)
    yield "ftruncate", lambda: os.ftruncate(fd, 0)
    yield "fsync", lambda: os.fsync(fd)
    yield "fdatasync", lambda: os.fdatasync(fd)
    yield "syncfs", lambda: call(libc.syncfs, fd) and None
    yield "flock sh", lambda: fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    yield "flock ex", lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield "flock unlock", lambda: fcntl.flock(fd, fcntl.LOCK_UN)
    yield "lockf rd", lambda: fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    yield "lockf wr", lambda: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield "getlk", lambda: fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack("hhqqi4x", 1, 0, 0, 0, 0)) and None
    yield "setlease rd", lambda: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK) and None
    yield "getfl", lambda: f"{fcntl.fcntl(fd, fcntl.F_GETFL):x}"
    yield "setfl nonblock", lambda: fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK) and None
    yield "setfl direct", lambda: fcntl.fcntl(fd, fcntl.F_SETFL, os.O_DIRECT) and None
    yield "ioctl FIONREAD", lambda: str(struct.unpack("i", fcntl.ioctl(fd, 0x541B, bytes(4)))[0])
    yield "ioctl bogus", lambda: fcntl.ioctl(fd, 0x1234)
    yield "ioctl TCGETS", lambda: str(os.isatty(fd))
    yield "ioctl FS_IOC_SETFLAGS", lambda: fcntl.ioctl(fd, 0x40086602, bytes(8)) and None
    yield "ioctl FIBMAP", lambda: fcntl.ioctl(fd, 1, bytes(4)) and None
    yield "fchmod", lambda: os.fchmod(fd, 0o600)
    yield "fchown", lambda: os.fchown(fd, 0, 0)
    yield "futimens", lambda: os.utime(fd)
    yield "fsetxattr", lambda: os.setxattr(fd, "user.a", b"x")
    yield "fadvise", lambda: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    yield "readahead", lambda: call(libc.readahead, fd, ctypes.c_int64(0), ctypes.c_size_t(4096)) and None
    yield "fallocate", lambda: os.posix_fallocate(fd, 0, 1)
    yield "punch hole", lambda: call(libc.fallocate, fd, 3, ctypes.c_int64(0), ctypes.c_int64(1))
    yield "fstatvfs", lambda: f"{os.fstatvfs(fd).f_namemax}"
    yield "fexec", lambda: in_child(lambda: os.execve(fd, ["x"], {}))
    yield "linkat fd", lambda: call(libc.linkat, fd, b"", AT_FDCWD, f"{d}/z".encode(), AT_EMPTY_PATH)
    yield "fstat", lambda: shape(os.fstat(fd))
    yield "close", lambda: os.close(fd)


def copy_operations(d, f):
    def copy(function):
        with tempfile.TemporaryFile(dir="/dev/shm") as out:
            moved = with_fd(f, lambda fd: function(fd, out.fileno()))
            return str(moved)

    def splice(fd, out):
        read_end, write_end = os.pipe()
        try:
            return os.splice(fd, write_end, 4096, offset_src=0)
        finally:
            os.close(read_end)
            os.close(write_end)

    yield "sendfile", lambda: copy(lambda fd, out: os.sendfile(out, fd, 0, 65536))
    yield "copy_file_range", lambda: copy(lambda fd, out: os.copy_file_range(fd, out, 65536))
    yield "splice", lambda: copy(splice)
    yield "FICLONE", lambda: copy(lambda fd, out: fcntl.ioctl(out, 0x40049409, fd))
    yield "copy_file_range into", lambda: with_fd(
        "/etc/passwd", lambda fd: with_fd(f, lambda out: os.copy_file_range(fd, out, 1))
    )


def map_operations(d, f):
    def mapped(flags, prot, length=8):
        def function(fd):
            mmap.mmap(fd, length, flags=flags, prot=prot).close()

        return with_fd(f, function)

    def beyond(fd):
        area = mmap.mmap(-1, 4 * mmap.PAGESIZE)  # room for a mapping that is longer than the file
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap(
            ctypes.c_void_p(address), ctypes.c_size_t(3 * mmap.PAGESIZE), 1, 0x12, fd, ctypes.c_int64(0)
        )
        return ctypes.string_at(address + 2 * mmap.PAGESIZE, 1)[0]

    yield "mmap priv", lambda: mapped(mmap.MAP_PRIVATE, mmap.PROT_READ)
    yield "mmap priv write", lambda: mapped(mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    yield "mmap shared", lambda: mapped(mmap.MAP_SHARED, mmap.PROT_READ)
    yield "mmap shared write", lambda: mapped(mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    yield "mmap exec", lambda: mapped(mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
    yield "mmap populate", lambda: mapped(mmap.MAP_PRIVATE | mmap.MAP_POPULATE, mmap.PROT_READ)
    yield "mmap dir", lambda: with_fd(d, lambda fd: mmap.mmap(fd, 8, prot=mmap.PROT_READ).close())
    yield "touch beyond the end", lambda: in_child(lambda: with_fd(f, beyond))


def other_operations(d, f):
    def inotify(path, mask=0xFFF):
        fd = call(libc.inotify_init1, os.O_CLOEXEC)
        try:
            call(libc.inotify_add_watch, fd, path.encode(), mask)
        finally:
            os.close(fd)

    def handle(path):
        buffer = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
        mount_id = ctypes.c_int()
        call(libc.syscall, SYS_NAME_TO_HANDLE_AT, AT_FDCWD, path.encode(), buffer, ctypes.byref(mount_id), 0)

    yield "exec", lambda: in_child(lambda: os.execv(f, ["x"]))
    yield "exec dir", lambda: in_child(lambda: os.execv(d, ["x"]))
    yield "statvfs", lambda: f"flags={os.statvfs(d).f_flag:x} names={os.statvfs(d).f_namemax}"
    yield "statvfs file", lambda: f"flags={os.statvfs(f).f_flag:x}"
    yield "inotify file", lambda: inotify(f)
    yield "inotify dir", lambda: inotify(d)
    yield "inotify ONLYDIR file", lambda: inotify(f, 0x01000FFF)
    yield "inotify missing", lambda: inotify(f"{d}/nope")
    yield "name_to_handle_at", lambda: handle(f)
    yield "read dir", lambda: with_fd(d, lambda fd: os.read(fd, 1))
    yield "pread dir", lambda: with_fd(d, lambda fd: os.pread(fd, 1, 0))
    yield "write dir", lambda: with_fd(d, lambda fd: os.write(fd, b"x"))
    yield "fsync dir", lambda: with_fd(d, os.fsync)
    yield "lseek dir start", lambda: with_fd(d, lambda fd: str(os.lseek(fd, 0, 0)))
    yield "flock dir", lambda: with_fd(d, lambda fd: fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB))
    yield "openat ..", lambda: with_fd(d, lambda fd: opened("..", 0, dir_fd=fd))
    yield "openat hello", lambda: with_fd(d, lambda fd: opened("hello", 0, dir_fd=fd))
    yield "openat not a dir", lambda: with_fd(f, lambda fd: opened("hello", 0, dir_fd=fd))
    yield "fchdir", lambda: with_fd(d, os.fchdir)
    yield "fchdir file", lambda: with_fd(f, os.fchdir)
    yield "listdir fd twice", lambda: with_fd(d, lambda fd: str(os.listdir(fd) == os.listdir(fd)))
    yield "mkdirat", lambda: with_fd(d, lambda fd: os.mkdir("n", dir_fd=fd))


GROUPS = (
    open_operations, path_operations, change_operations, xattr_operations, fd_operations,
    copy_operations, map_operations, other_operations,
)  # fmt: skip


def run(root):
    """{operation: outcome}."""
    results = {}
    for group in GROUPS:
        for name, function in group(f"{root}/dir", f"{root}/dir/hello"):
            assert name not in results, name
            try:
                value = function()
                results[name] = value if isinstance(value, str) else "ok"
            except OSError as error:
                results[name] = errno.errorcode.get(error.errno, str(error.errno))
            except (ValueError, OverflowError) as error:
                results[name] = type(error).__name__
    return results
