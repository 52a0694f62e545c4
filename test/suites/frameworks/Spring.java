import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.springframework.amqp.AmqpException;
import org.springframework.amqp.core.AmqpAdmin;
import org.springframework.amqp.core.Binding;
import org.springframework.amqp.core.BindingBuilder;
import org.springframework.amqp.core.DirectExchange;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.MessageProperties;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.core.QueueBuilder;
import org.springframework.amqp.rabbit.annotation.Exchange;
import org.springframework.amqp.rabbit.annotation.QueueBinding;
import org.springframework.amqp.rabbit.annotation.RabbitListener;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.connection.CorrelationData;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.amqp.support.AmqpHeaders;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.messaging.handler.annotation.Header;

/**
 * A Spring Boot application over RabbitMQ: listeners and their callers in one process. Prints "ok NAME" or "FAIL NAME
 * why"; "kill" asks for the server to be killed and started again, which is done when a line comes on the standard
 * input.
 */
@EnableAutoConfiguration
@Configuration(proxyBeanMethods = false)
public class Spring {
    static final List<String> seen = Collections.synchronizedList(new ArrayList<>());
    static final Duration LIMIT = Duration.ofSeconds(60);

    @Bean Queue rpc() { return new Queue("sp-rpc"); }
    @Bean Queue numbers() { return new Queue("sp-numbers"); }
    @Bean Queue work() { return QueueBuilder.durable("sp-work").deadLetterExchange("").deadLetterRoutingKey("sp-dead").build(); }
    @Bean Queue dead() { return new Queue("sp-dead"); }
    @Bean Queue counted() {
        return QueueBuilder.durable("sp-counted").quorum().deliveryLimit(2).deadLetterExchange("").deadLetterRoutingKey("sp-dead").build();
    }
    @Bean Queue first() { return QueueBuilder.durable("sp-priority").maxPriority(9).build(); }
    @Bean Queue brief() { return QueueBuilder.durable("sp-brief").ttl(50).deadLetterExchange("").deadLetterRoutingKey("sp-dead").build(); }
    @Bean Queue late() { return new Queue("sp-late"); }
    @Bean DirectExchange delays() {
        DirectExchange e = new DirectExchange("sp-delays");
        e.setDelayed(true);
        return e;
    }
    @Bean Binding delayed() { return BindingBuilder.bind(late()).to(delays()).with("late"); }

    @RabbitListener(queues = "sp-rpc")
    String upper(String s) { return s.toUpperCase(); }

    @RabbitListener(queues = "sp-numbers")
    void number(String s) { seen.add("number " + s); }

    @RabbitListener(queues = "sp-work")
    void work(String s) {
        seen.add("work " + s);
        throw new IllegalStateException("cannot do " + s); // retried here, then rejected
    }

    @RabbitListener(queues = "sp-counted", ackMode = "MANUAL")
    void counted(Message m, com.rabbitmq.client.Channel channel) throws Exception {
        seen.add("counted");
        channel.basicNack(m.getMessageProperties().getDeliveryTag(), false, true);
    }

    @RabbitListener(queues = "sp-dead")
    void dead(String s, @Header("x-first-death-queue") String queue, @Header("x-first-death-reason") String reason) {
        seen.add("dead " + s + " of " + queue + ", " + reason);
    }

    @RabbitListener(queues = "sp-late")
    void late(String s) { seen.add("late " + s); }

    @RabbitListener(bindings = @QueueBinding(value = @org.springframework.amqp.rabbit.annotation.Queue("sp-paid"),
        exchange = @Exchange(value = "sp-orders", type = "topic"), key = "order.*.paid"))
    void paid(String s, @Header(AmqpHeaders.RECEIVED_ROUTING_KEY) String key) { seen.add("paid " + s + " by " + key); }

    interface Test { void run() throws Exception; }

    static RabbitTemplate template;
    static AmqpAdmin admin;

    static void until(String what, BooleanSupplier holds) throws Exception {
        for (long end = System.nanoTime() + LIMIT.toNanos(); !holds.getAsBoolean(); Thread.sleep(10)) {
            if (System.nanoTime() > end) throw new AssertionError(what + " does not come: " + seen);
        }
    }

    static void retry(Callable<Boolean> act) throws Exception {
        for (long end = System.nanoTime() + LIMIT.toNanos(); ; Thread.sleep(100)) {
            try {
                if (act.call()) return;
            } catch (AmqpException e) {
                if (System.nanoTime() > end) throw e;
            }
            if (System.nanoTime() > end) throw new AssertionError("it does not come to work again");
        }
    }

    static void equal(Object got, Object want) {
        if (!want.equals(got)) throw new AssertionError("got " + got + ", want " + want);
    }

    static long count(String what) { return seen.stream().filter(what::equals).count(); }

    static final Map<String, Test> tests = new LinkedHashMap<>();

    static {
        tests.put("calls", () -> {
            for (int i = 0; i < 100; i++) equal(template.convertSendAndReceive("sp-rpc", "call " + i), "CALL " + i);
        });
        tests.put("confirmsAndReturns", () -> {
            List<CorrelationData> sent = new ArrayList<>();
            for (int i = 0; i < 500; i++) {
                CorrelationData c = new CorrelationData("" + i);
                template.convertAndSend("", "sp-numbers", "" + i, c);
                sent.add(c);
            }
            for (CorrelationData c : sent) equal(c.getFuture().get(60, TimeUnit.SECONDS).isAck(), true);
            CorrelationData lost = new CorrelationData("lost");
            template.convertAndSend("", "sp-nowhere", "lost", lost);
            equal(lost.getFuture().get(60, TimeUnit.SECONDS).isAck(), true);
            equal(lost.getReturned().getReplyText(), "NO_ROUTE");
            until("500 numbers", () -> seen.stream().filter(s -> s.startsWith("number")).count() >= 500);
            for (int i = 0; i < 500; i++) equal(seen.get(i), "number " + i);
        });
        tests.put("retriesThenDeadLetters", () -> {
            template.convertAndSend("sp-work", "it");
            until("the dead letter", () -> count("dead it of sp-work, rejected") == 1);
            equal(count("work it"), 3L);
        });
        tests.put("deliveryLimit", () -> {
            template.convertAndSend("sp-counted", "x");
            until("the dead letter", () -> count("dead x of sp-counted, delivery_limit") == 1);
            equal(count("counted"), 3L);
        });
        tests.put("timeToLive", () -> {
            template.convertAndSend("sp-brief", "moment");
            until("the dead letter", () -> count("dead moment of sp-brief, expired") == 1);
        });
        tests.put("priorities", () -> {
            for (int p : new int[] {1, 9, 5}) {
                template.convertAndSend("sp-priority", "p" + p, m -> {
                    m.getMessageProperties().setPriority(p);
                    return m;
                });
            }
            for (String want : List.of("p9", "p5", "p1")) equal(template.receiveAndConvert("sp-priority", 5000), want);
        });
        tests.put("delays", () -> {
            long began = System.nanoTime();
            template.convertAndSend("sp-delays", "late", "it", m -> {
                m.getMessageProperties().setDelayLong(500L);
                return m;
            });
            until("the delayed message", () -> count("late it") == 1);
            long ms = (System.nanoTime() - began) / 1_000_000;
            if (ms < 490) throw new AssertionError("it came after " + ms + " ms");
        });
        tests.put("topics", () -> {
            template.convertAndSend("sp-orders", "order.7.sent", "no");
            template.convertAndSend("sp-orders", "order.7.paid", "yes");
            until("the order", () -> count("paid yes by order.7.paid") == 1);
            equal(count("paid no by order.7.sent"), 0L);
        });
        tests.put("queueInfo", () -> {
            admin.declareQueue(new Queue("sp-info"));
            template.convertAndSend("sp-info", "x");
            equal(admin.getQueueInfo("sp-info").getMessageCount(), 1);
            equal(admin.purgeQueue("sp-info"), 1);
            equal(admin.deleteQueue("sp-info"), true);
            equal(admin.getQueueInfo("sp-info") == null, true);
        });
        tests.put("transactions", () -> {
            RabbitTemplate tx = new RabbitTemplate(new CachingConnectionFactory(
                ((CachingConnectionFactory) template.getConnectionFactory()).getRabbitConnectionFactory()));
            tx.setChannelTransacted(true);
            tx.convertAndSend("sp-late", "committed");
            until("what was committed", () -> count("late committed") == 1);
            ((CachingConnectionFactory) tx.getConnectionFactory()).destroy();
        });
        tests.put("reconnects", () -> {
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
            for (int round = 0; round < 3; round++) {
                String call = "again " + round;
                System.out.println("kill");
                in.readLine();
                retry(() -> call.toUpperCase().equals(template.convertSendAndReceive("sp-rpc", call)));
                retry(() -> {
                    CorrelationData c = new CorrelationData();
                    template.convertAndSend("", "sp-work", call, c);
                    return c.getFuture().get(5, TimeUnit.SECONDS).isAck();
                });
                until("a dead letter", () -> count("dead " + call + " of sp-work, rejected") > 0);
            }
        });
    }

    public static void main(String[] args) throws Exception {
        SpringApplication app = new SpringApplication(Spring.class);
        app.setWebApplicationType(WebApplicationType.NONE);
        String[] at = args[0].split(":");
        app.setDefaultProperties(Map.of(
            "spring.rabbitmq.host", at[0], "spring.rabbitmq.port", at[1],
            "spring.rabbitmq.publisher-confirm-type", "correlated", "spring.rabbitmq.publisher-returns", "true",
            "spring.rabbitmq.template.mandatory", "true",
            "spring.rabbitmq.listener.simple.retry.enabled", "true",
            "spring.rabbitmq.listener.simple.retry.initial-interval", "50ms",
            "spring.main.banner-mode", "off", "logging.level.root", "warn"));
        ConfigurableApplicationContext context = app.run();
        template = context.getBean(RabbitTemplate.class);
        admin = context.getBean(AmqpAdmin.class);
        for (Map.Entry<String, Test> t : tests.entrySet()) {
            try {
                t.getValue().run();
                System.out.println("ok " + t.getKey());
            } catch (Throwable e) {
                System.out.println("FAIL " + t.getKey() + " " + e);
            }
        }
        context.close();
    }
}
