// SPDX-License-Identifier: GPL-2.0
/*
 * For tests: without user space there are only the files created here. They are in
 * the root file system of user space, which kernel threads do not see by default.
 */

#include <linux/dcache.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/mount.h>
#include <linux/namei.h>

#include "shim.h"

/* Lasts until ktcp_kunit_leave_files() is called with the returned value. */
struct fs_struct *ktcp_kunit_enter_files(void)
{
	return __override_init_fs();
}
EXPORT_SYMBOL_GPL(ktcp_kunit_enter_files);

void ktcp_kunit_leave_files(struct fs_struct *old)
{
	__revert_init_fs(old);
}
EXPORT_SYMBOL_GPL(ktcp_kunit_leave_files);

int ktcp_kunit_make_dir(const char *path, umode_t mode)
{
	struct path parent;
	struct dentry *dentry, *made;

	dentry = start_creating_path(AT_FDCWD, path, &parent, LOOKUP_DIRECTORY);
	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	made = vfs_mkdir(mnt_idmap(parent.mnt), d_inode(parent.dentry), dentry, mode, NULL);
	end_creating_path(&parent, made);
	return PTR_ERR_OR_ZERO(made);
}
EXPORT_SYMBOL_GPL(ktcp_kunit_make_dir);

int ktcp_kunit_make_link(const char *path, const char *target)
{
	struct path parent;
	struct dentry *dentry;
	int err;

	dentry = start_creating_path(AT_FDCWD, path, &parent, 0);
	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	err = vfs_symlink(mnt_idmap(parent.mnt), d_inode(parent.dentry), dentry, target, NULL);
	end_creating_path(&parent, dentry);
	return err;
}
EXPORT_SYMBOL_GPL(ktcp_kunit_make_link);

int ktcp_kunit_write(const char *path, umode_t mode, const void *data, size_t len)
{
	struct file *file = filp_open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	loff_t pos = 0;
	ssize_t written;

	if (IS_ERR(file))
		return PTR_ERR(file);
	written = kernel_write(file, data, len, &pos);
	filp_close(file, NULL);
	if (written < 0)
		return written;
	return written == len ? 0 : -EIO;
}
EXPORT_SYMBOL_GPL(ktcp_kunit_write);
