// SPDX-License-Identifier: GPL-2.0
/* Sending files by reference: the socket takes the pages of the page cache. */

#include <linux/bvec.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/page-flags.h>
#include <linux/pagemap.h>
#include <linux/folio_batch.h>
#include <linux/pipe_fs_i.h>
#include <linux/shmem_fs.h>
#include <linux/splice.h>
#include <linux/swap.h>
#include <linux/uio.h>
#include <net/sock.h>

#include "freezer.h"
#include "locked.h"
#include "shim.h"

/* The destination of a piece of a file. */
struct ktcp_target {
	struct socket *sock;
	struct page_frag *frag;
	bool atomic;
	/* Set if the socket has no room; its write_space callback follows. */
	bool full;
};

/* Returns true if ktcp_send_file() works with the file. */
bool ktcp_can_send_file(const struct file *file)
{
	return file->f_op->splice_read && (file->f_mode & FMODE_LSEEK);
}
EXPORT_SYMBOL_GPL(ktcp_can_send_file);

/*
 * Returns true if splice_read() returns the contents of the page cache without
 * asking a server or another file system. The three file systems identified by
 * number first check for a forced shutdown; pages that are cached by then stay
 * valid.
 */
static bool ktcp_is_all_cached(const struct file *file)
{
	/* An fanotify listener has to allow each read, or fills the file on demand. */
	if (FMODE_FSNOTIFY_HSM(file->f_mode))
		return false;
	if (file->f_op->splice_read == filemap_splice_read ||
	    shmem_mapping(file->f_mapping))
		return true;
	switch (file_inode(file)->i_sb->s_magic) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

static void ktcp_mark_accessed(struct folio *folio, bool atomic)
{
	/* folio_mark_accessed() uses per-CPU lists that belong to process context. */
	if (!atomic)
		folio_mark_accessed(folio);
	else if (!folio_test_referenced(folio))
		folio_set_referenced(folio);
}

/* Sends the len bytes of vec[]; more is true if more bytes follow at once. */
static int ktcp_send_vec(struct ktcp_target *to, const struct bio_vec *vec,
			 unsigned int count, size_t len, bool more)
{
	struct msghdr msg;
	int sent;

	ktcp_init_msg(&msg, MSG_SPLICE_PAGES | (more ? MSG_MORE : 0));
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, vec, count, len);
	sent = to->atomic ? ktcp_sendmsg_atomic(to->sock, to->frag, &msg, len) :
			    sock_sendmsg(to->sock, &msg);
	/* SOCK_NOSPACE already tells that another try would send nothing. */
	if (sent > 0 && sent < len && ktcp_is_plain_tcp(to->sock))
		to->full = test_bit(SOCK_NOSPACE, &to->sock->flags);
	return sent;
}

/*
 * Sends the part of @file at @pos that is in the page cache, without calling the
 * file system; returns 0 if no part is.
 */
static int ktcp_send_cached(struct ktcp_target *to, struct file *file, loff_t pos,
			    size_t len, bool more)
{
	struct address_space *mapping = file->f_mapping;
	pgoff_t index = pos >> PAGE_SHIFT;
	struct bio_vec vec[ARRAY_SIZE(((struct folio_batch *)0)->folios)];
	struct folio_batch batch;
	unsigned int i, count = 0;
	size_t found = 0;
	int sent = 0;
	loff_t size;

	folio_batch_init(&batch);
	filemap_get_folios_contig(mapping, &index, ((u64)pos + len - 1) >> PAGE_SHIFT, &batch);
	while (count < folio_batch_count(&batch) && found < len) {
		struct folio *folio = batch.folios[count];
		size_t offset = offset_in_folio(folio, pos + found);
		size_t part = min(folio_size(folio) - offset, len - found);

		/* splice_read() handles the folio that triggers read-ahead. */
		if (!folio_test_uptodate(folio) || folio_test_readahead(folio) ||
		    folio_contain_hwpoisoned_page(folio))
			break;
		if (mapping_writably_mapped(mapping))
			flush_dcache_folio(folio);
		ktcp_mark_accessed(folio, to->atomic);
		bvec_set_folio(&vec[count++], folio, part, offset);
		found += part;
	}
	/* Read after the folios: see filemap_splice_read(). */
	size = i_size_read(mapping->host);
	if (pos < size && count) {
		if (found > size - pos) {
			found = size - pos;
			more = false;
		}
		sent = ktcp_send_vec(to, vec, count, found, more || found < len);
	}
	/* The socket has its own references. */
	for (i = 0; i < folio_batch_count(&batch); i++)
		folio_put(batch.folios[i]);
	if (sent > 0 && !to->atomic) {
		file->f_ra.prev_pos = pos + sent;
		file_accessed(file);
	}
	return sent;
}

/* Like splice_to_socket(), which requires a socket with a file. */
static int ktcp_send_pipe(struct pipe_inode_info *pipe, struct splice_desc *sd)
{
	struct bio_vec vec[PIPE_DEF_BUFFERS];
	struct ktcp_target *to = sd->u.data;
	unsigned int slot, count = 0;
	size_t len = 0;
	int sent, left, err = 0;

	for (slot = pipe->tail; slot != pipe->head && count < ARRAY_SIZE(vec); slot++) {
		struct pipe_buffer *buf = pipe_buf(pipe, slot);

		err = pipe_buf_confirm(pipe, buf);
		if (err)
			break;
		bvec_set_page(&vec[count++], buf->page, buf->len, buf->offset);
		len += buf->len;
	}
	if (!len)
		/* -ENODATA: truncated meanwhile, so the file ends here. */
		return err == -ENODATA ? 0 : err;
	sent = ktcp_send_vec(to, vec, count, len, sd->flags & SPLICE_F_MORE);
	/* splice_direct_to_actor() releases the rest of the pipe. */
	for (left = sent; left > 0; pipe->tail++) {
		struct pipe_buffer *buf = pipe_buf(pipe, pipe->tail);

		if (buf->len > left) {
			buf->offset += left;
			buf->len -= left;
			break;
		}
		left -= buf->len;
		pipe_buf_release(pipe, buf);
	}
	return sent;
}

/*
 * Sends bytes of @file from @pos on, at least one and at most @len; @more is true
 * if more bytes follow them. Returns the number of bytes, 0 at the end of the file,
 * or -EAGAIN if the socket has no room now. May wait for the disk, not for the
 * peer. With @atomic it does not sleep, and -EBUSY means that only a task that may
 * sleep can do it. Sets *@full if nothing can be sent before the socket's
 * write_space callback.
 */
ssize_t ktcp_send_file(struct socket *sock, struct page_frag *frag, bool atomic,
		       struct file *file, loff_t pos, size_t len, bool more, bool *full)
{
	struct ktcp_target to = { .sock = sock, .frag = frag, .atomic = atomic };
	struct splice_desc sd = {
		.total_len = len,
		.pos = pos,
		.flags = more ? SPLICE_F_MORE : 0,
		.u.data = &to,
	};
	CLASS(ktcp_files_unless, entered)(atomic);
	ssize_t sent = 0;

	if (ktcp_is_all_cached(file) && !(atomic && ktcp_is_freezing()))
		sent = ktcp_send_cached(&to, file, pos, len, more);
	if (!sent)
		sent = atomic ? -EBUSY : splice_direct_to_actor(file, &sd, ktcp_send_pipe);
	*full = to.full;
	return sent;
}
EXPORT_SYMBOL_GPL(ktcp_send_file);
