// SPDX-License-Identifier: GPL-2.0
/*
 * Reading files below a directory, with the rights of the overflow user (nobody).
 */

#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/export.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/fsnotify.h>
#include <linux/highuid.h>
#include <linux/init_task.h>
#include <linux/limits.h>
#include <linux/namei.h>
#include <linux/path.h>
#include <linux/sched/task.h>
#include <linux/stat.h>
#include <linux/timekeeping.h>
#include <linux/uio.h>

#include "freezer.h"
#include "shim.h"

/*
 * Looks the name up as process 1 does, and not as the caller: a mount namespace is taken
 * apart with its last process, and what its mounts hid would come to light. The kernel
 * looks up firmware in the same way.
 */
int ktcp_open_root(const char *name, struct path *root)
{
	const unsigned int flags = LOOKUP_FOLLOW | LOOKUP_DIRECTORY;
	CLASS(ktcp_files, entered)();
	int err;

#ifdef scoped_with_init_fs
	scoped_with_init_fs()
		err = kern_path(name, flags, root);
#else
	struct path top;

	/* Process 1 has it in common with init_task. */
	task_lock(&init_task);
	get_fs_root(init_task.fs, &top);
	task_unlock(&init_task);
	err = vfs_path_lookup(top.dentry, top.mnt, name, flags, root);
	path_put(&top);
#endif
	return err;
}
EXPORT_SYMBOL_GPL(ktcp_open_root);

void ktcp_put_path(const struct path *path)
{
	path_put(path);
}
EXPORT_SYMBOL_GPL(ktcp_put_path);

/*
 * Credentials without rights: kernel threads may do everything, and their peers
 * must not.
 */
const struct cred *ktcp_nobody(void)
{
	struct cred *cred = prepare_kernel_cred(&init_task);

	if (!cred)
		return NULL;
	cred->uid = KUIDT_INIT(DEFAULT_OVERFLOWUID);
	cred->gid = KGIDT_INIT(DEFAULT_OVERFLOWGID);
	cred->euid = cred->uid;
	cred->suid = cred->uid;
	cred->fsuid = cred->uid;
	cred->egid = cred->gid;
	cred->sgid = cred->gid;
	cred->fsgid = cred->gid;
	cred->cap_inheritable = CAP_EMPTY_SET;
	cred->cap_permitted = CAP_EMPTY_SET;
	cred->cap_effective = CAP_EMPTY_SET;
	cred->cap_bset = CAP_EMPTY_SET;
	cred->cap_ambient = CAP_EMPTY_SET;
	return cred;
}
EXPORT_SYMBOL_GPL(ktcp_nobody);

void ktcp_put_cred(const struct cred *cred)
{
	put_cred(cred);
}
EXPORT_SYMBOL_GPL(ktcp_put_cred);

/*
 * A lookup of a name with ".." fails with EAGAIN if any rename or unmount in the
 * system happens meanwhile (openat2(2)). The limit keeps a task that renames in a
 * loop from blocking the lookup for ever.
 */
#define LOOKUP_TRIES 64

/* Never leaves the root, whether by "..", by a link or by a concurrent rename. */
int ktcp_lookup(const struct path *root, const struct cred *cred,
		const char *name, bool cached, struct path *found)
{
	unsigned int flags = LOOKUP_FOLLOW | LOOKUP_BENEATH | LOOKUP_NO_MAGICLINKS;
	CLASS(ktcp_files_unless, entered)(cached);
	int tries = cached ? 1 : LOOKUP_TRIES;
	const struct cred *old;
	int err;

	if (cached && ktcp_is_freezing())
		return -EAGAIN;
	if (cached)
		flags |= LOOKUP_CACHED;
	old = override_creds(cred);
	do {
		err = vfs_path_lookup(root->dentry, root->mnt, name, flags, found);
	} while (err == -EAGAIN && --tries);
	revert_creds(old);
	return err;
}
EXPORT_SYMBOL_GPL(ktcp_lookup);

int ktcp_stat(const struct path *path, bool cached, struct ktcp_stat *stat)
{
	CLASS(ktcp_files_unless, entered)(cached);
	struct kstat from;
	int err;

	err = vfs_getattr(path, &from, STATX_BASIC_STATS | STATX_CHANGE_COOKIE,
			  cached ? AT_STATX_DONT_SYNC : AT_STATX_SYNC_AS_STAT);
	if (err)
		return err;
	*stat = (struct ktcp_stat){
		.size = from.size,
		.inode = from.ino,
		.device = from.dev,
		.mode = from.mode,
		.modified_seconds = from.mtime.tv_sec,
		.modified_nanos = from.mtime.tv_nsec,
		.changed_seconds = from.ctime.tv_sec,
		.changed_nanos = from.ctime.tv_nsec,
		.generation = d_backing_inode(path->dentry)->i_generation,
	};
	if (from.result_mask & STATX_CHANGE_COOKIE)
		stat->change_cookie = from.change_cookie;
	return 0;
}
EXPORT_SYMBOL_GPL(ktcp_stat);

struct file *ktcp_open(const struct path *path, const struct cred *cred)
{
	struct inode *inode = d_backing_inode(path->dentry);
	CLASS(ktcp_files, entered)();
	const struct cred *old;
	struct file *file;
	int err;

	/* Opening a device or a pipe may have side effects, or block. */
	if (!S_ISREG(inode->i_mode) && !S_ISDIR(inode->i_mode))
		return ERR_PTR(-EACCES);

	old = override_creds(cred);
	err = inode_permission(mnt_idmap(path->mnt), inode, MAY_READ | MAY_OPEN);
	file = err ? ERR_PTR(err) :
		     dentry_open(path, O_RDONLY | O_LARGEFILE | O_NONBLOCK, cred);
	revert_creds(old);
	return file;
}
EXPORT_SYMBOL_GPL(ktcp_open);

struct file *ktcp_get_file(struct file *file)
{
	return get_file(file);
}
EXPORT_SYMBOL_GPL(ktcp_get_file);

ssize_t ktcp_read(struct file *file, void *buffer, size_t len, loff_t pos,
		  bool cached)
{
	struct kvec vec = { .iov_base = buffer, .iov_len = min_t(size_t, len, MAX_RW_COUNT) };
	CLASS(ktcp_files_unless, entered)(cached);
	struct iov_iter iter;
	struct kiocb iocb;

	if (!cached)
		return kernel_read(file, buffer, vec.iov_len, &pos);
	if (!(file->f_mode & FMODE_NOWAIT) || ktcp_is_freezing())
		return -EAGAIN;
	init_sync_kiocb(&iocb, file);
	iocb.ki_pos = pos;
	iocb.ki_flags |= IOCB_NOWAIT | IOCB_NOIO;
	iov_iter_kvec(&iter, ITER_DEST, &vec, 1, vec.iov_len);
	return vfs_iocb_iter_read(file, &iocb, &iter);
}
EXPORT_SYMBOL_GPL(ktcp_read);

struct ktcp_read_dir {
	struct dir_context context;
	ktcp_read_dir_entry entry;
	void *data;
};

static bool ktcp_read_dir_actor(struct dir_context *context, const char *name,
				int len, loff_t offset, u64 inode, unsigned int type)
{
	struct ktcp_read_dir *this = container_of(context, struct ktcp_read_dir, context);

	return this->entry(this->data, name, len);
}

int ktcp_read_dir(const struct path *path, const struct cred *cred,
		  ktcp_read_dir_entry entry, void *data)
{
	struct ktcp_read_dir this = {
		.context.actor = ktcp_read_dir_actor,
		.context.count = INT_MAX,
		.entry = entry,
		.data = data,
	};
	const struct cred *old;
	struct file *file;
	int err;

	file = ktcp_open(path, cred);
	if (IS_ERR(file))
		return PTR_ERR(file);
	old = override_creds(cred);
	err = iterate_dir(file, &this.context);
	revert_creds(old);
	fput(file);
	return err;
}
EXPORT_SYMBOL_GPL(ktcp_read_dir);

void ktcp_now(s64 *seconds, u32 *nanos)
{
	struct timespec64 now;

	ktime_get_coarse_real_ts64(&now);
	*seconds = now.tv_sec;
	*nanos = now.tv_nsec;
}
EXPORT_SYMBOL_GPL(ktcp_now);
