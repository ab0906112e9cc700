// The tables of an Odoo 19 database that have to do with its files, with the names and types that Odoo gives them: rows of
// attachments with all 25 columns, parameters, modules, scheduled actions, mail servers, users and partners. Written from
// the shape of a real database; no code of Odoo's is in it. A history of attachments is kept beside them, which Odoo has not:
// the database itself then says what it must refer to after each of its transactions (test/odoo/truth.ts).

/** Anything that runs several statements in one text: a client of `pg`, or a `Connection` of ours. */
export interface SchemaConnection {
  query: (text: string) => Promise<unknown>;
}

/** `ir_attachment` of 19.0 with website, and its indexes. */
const ATTACHMENTS = `
CREATE TABLE ir_attachment (
  id serial PRIMARY KEY,
  name varchar NOT NULL,
  description text,
  res_model varchar,
  res_field varchar,
  res_id integer,
  company_id integer,
  type varchar NOT NULL,
  url varchar(1024),
  public boolean,
  access_token varchar,
  store_fname varchar,
  db_datas bytea,
  file_size integer,
  checksum varchar(40),
  mimetype varchar,
  index_content text,
  original_id integer REFERENCES ir_attachment ON DELETE SET NULL,
  website_id integer,
  theme_template_id integer,
  key varchar,
  create_uid integer REFERENCES res_users ON DELETE SET NULL,
  create_date timestamp without time zone,
  write_uid integer REFERENCES res_users ON DELETE SET NULL,
  write_date timestamp without time zone
);
CREATE INDEX ir_attachment__res_idx ON ir_attachment (res_model, res_id);
CREATE INDEX ir_attachment__store_fname_index ON ir_attachment (store_fname);
CREATE INDEX ir_attachment__url_index ON ir_attachment (url) WHERE url IS NOT NULL;
CREATE INDEX ir_attachment__original_id_index ON ir_attachment (original_id) WHERE original_id IS NOT NULL;
`;

const REST = `
CREATE TABLE res_partner (
  id serial PRIMARY KEY,
  name varchar,
  email varchar,
  active boolean DEFAULT true,
  company_id integer,
  create_date timestamp without time zone,
  write_date timestamp without time zone
);
CREATE TABLE res_users (
  id serial PRIMARY KEY,
  login varchar NOT NULL UNIQUE,
  password varchar,
  partner_id integer NOT NULL REFERENCES res_partner,
  active boolean DEFAULT true,
  create_date timestamp without time zone,
  write_date timestamp without time zone
);
CREATE TABLE ir_config_parameter (
  id serial PRIMARY KEY,
  key varchar NOT NULL UNIQUE,
  value text NOT NULL,
  create_date timestamp without time zone,
  write_date timestamp without time zone
);
CREATE TABLE ir_module_module (
  id serial PRIMARY KEY,
  name varchar NOT NULL UNIQUE,
  state varchar,
  latest_version varchar,
  shortdesc jsonb,
  author varchar
);
CREATE TABLE ir_cron (
  id serial PRIMARY KEY,
  cron_name varchar,
  active boolean DEFAULT true,
  interval_number integer,
  interval_type varchar,
  nextcall timestamp without time zone NOT NULL,
  lastcall timestamp without time zone
);
CREATE TABLE ir_mail_server (
  id serial PRIMARY KEY,
  name varchar NOT NULL,
  smtp_host varchar,
  smtp_port integer,
  smtp_user varchar,
  smtp_pass varchar,
  smtp_encryption varchar,
  active boolean DEFAULT true
);
`;

/** What every database of Odoo has in these tables. The secrets are made up, so that copies can be seen to lose them. */
const CONTENT = `
INSERT INTO res_partner (name, email, create_date)
  VALUES ('My Company', 'info@example.com', now() AT TIME ZONE 'UTC'),
         ('Mitchell Admin', 'admin@example.com', now() AT TIME ZONE 'UTC'),
         ('Marc Demo', 'demo@example.com', now() AT TIME ZONE 'UTC');
INSERT INTO res_users (login, password, partner_id, active)
  VALUES ('__system__', NULL, 1, false), ('admin', '$pbkdf2-sha512$600000$made-up', 2, true),
         ('demo', '$pbkdf2-sha512$600000$made-up', 3, true);
INSERT INTO ir_config_parameter (key, value)
  VALUES ('database.uuid', gen_random_uuid()::text), ('database.secret', gen_random_uuid()::text),
         ('database.create_date', (now() AT TIME ZONE 'UTC')::text),
         ('web.base.url', 'https://odoo.example.com'), ('mail.catchall.domain', 'example.com');
INSERT INTO ir_module_module (name, state, latest_version, author)
  VALUES ('base', 'installed', '19.0.1.3', 'Odoo S.A.'), ('web', 'installed', '19.0.1.0', 'Odoo S.A.'),
         ('mail', 'installed', '19.0.1.19', 'Odoo S.A.'), ('product', 'installed', '19.0.1.2', 'Odoo S.A.'),
         ('sale', 'installed', '19.0.1.2', 'Odoo S.A.'), ('fleet', 'uninstalled', NULL, 'Odoo S.A.');
INSERT INTO ir_cron (cron_name, active, interval_number, interval_type, nextcall)
  VALUES ('Base: Auto-vacuum internal data', true, 1, 'days', now() AT TIME ZONE 'UTC'),
         ('Mail: Email Queue Manager', true, 1, 'hours', now() AT TIME ZONE 'UTC'),
         ('Mail: Fetchmail Service', true, 5, 'minutes', now() AT TIME ZONE 'UTC');
INSERT INTO ir_mail_server (name, smtp_host, smtp_port, smtp_user, smtp_pass, smtp_encryption)
  VALUES ('Outgoing', 'smtp.example.com', 587, 'odoo', 'a password of production', 'starttls');
`;

/** A row for each change of an attachment, written by its own transaction; `image` is the MD5 of the whole row. */
const HISTORY = `
CREATE TABLE attachment_history (
  step bigserial PRIMARY KEY,
  xid text NOT NULL DEFAULT pg_current_xact_id()::text,
  id integer NOT NULL,
  store_fname varchar,
  image text,
  gone boolean NOT NULL
);
CREATE FUNCTION note_attachment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO attachment_history (id, store_fname, gone) VALUES (OLD.id, NULL, true);
  ELSE
    INSERT INTO attachment_history (id, store_fname, image, gone)
      VALUES (NEW.id, NEW.store_fname, md5(NEW::text), false);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER note_attachment AFTER INSERT OR UPDATE OR DELETE ON ir_attachment
  FOR EACH ROW EXECUTE FUNCTION note_attachment();
`;

/** Makes the tables in an empty database, with what every Odoo has in them, and no attachment. */
export async function createOdooSchema(connection: SchemaConnection): Promise<void> {
  await connection.query(`BEGIN;${REST}${ATTACHMENTS}${CONTENT}${HISTORY}COMMIT;`);
}
