// SPDX-License-Identifier: GPL-2.0

#include <linux/cred.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/seq_file.h>

#include "shim.h"

static int ktcp_file_show(struct seq_file *seq, void *unused)
{
	return ktcp_show_file(seq, seq->private);
}

/* With an owner, which those of the kernel crate lack: an open file holds the library. */
DEFINE_SHOW_ATTRIBUTE(ktcp_file);

struct dentry *ktcp_debugfs_dir(const char *name, struct dentry *parent)
{
	return debugfs_create_dir(name, parent);
}

/* Waits for those who read the file, or a file in the folder. NULL and errors are nothing. */
void ktcp_debugfs_remove(struct dentry *dentry)
{
	debugfs_remove(dentry);
}

/*
 * Opens a new file, and closes it. When a file is opened for the first time, debugfs looks
 * into its operations before it sees that the file is removed: one that is only known by an
 * O_PATH descriptor by then would lead it into a library that is gone.
 */
static int ktcp_open_once(struct dentry *dentry)
{
	struct cred *cred = prepare_kernel_cred(&init_task);
	struct path path = { .dentry = dentry };
	int users = 0;
	struct file *file;
	int err;

	if (!cred)
		return -ENOMEM;
	err = simple_pin_fs(dentry->d_sb->s_type, &path.mnt, &users);
	if (err)
		goto out_cred;
	file = dentry_open(&path, O_RDONLY, cred);
	if (IS_ERR(file))
		err = PTR_ERR(file);
	else
		__fput_sync(file);
	simple_release_fs(&path.mnt, &users);
out_cred:
	put_cred(cred);
	return err;
}

/* A file that ktcp_show_file() fills; without memory, none. @data is there until it is removed. */
void ktcp_debugfs_file(const char *name, struct dentry *dir, void *data)
{
	struct dentry *file = debugfs_create_file(name, 0400, dir, data, &ktcp_file_fops);
	int err;

	if (IS_ERR_OR_NULL(file))
		return;
	err = ktcp_open_once(file);
	/* What lockdown refuses, it refuses after that look. */
	if (err && err != -EPERM)
		debugfs_remove(file);
}
